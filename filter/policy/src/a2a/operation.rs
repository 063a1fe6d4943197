//! What can be asked of an agent, by the names it has.

use super::Version;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident $old:expr;)*) => {
        /// What can be asked of an agent: a closed list.
        ///
        /// [A2A 1.0 §5.3](https://a2a-protocol.org/v1.0.0/specification/#53-method-mapping-reference)
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation { $($(#[$doc])* $name,)* }

        impl Operation {
            /// Every operation there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }

        /// Each with its names: that of 1.0, and that in JSON-RPC of 0.3.
        static NAMES: &[(Operation, &str, Option<&str>)] = &[$((Operation::$name, stringify!($name), $old),)*];
    };
}

operations! {
    /// Sends a message.
    SendMessage Some("message/send");
    /// The same, and answers with events.
    SendStreamingMessage Some("message/stream");
    /// Reads a task.
    GetTask Some("tasks/get");
    /// Lists tasks.
    ListTasks None;
    /// Ends a task.
    CancelTask Some("tasks/cancel");
    /// Listens to a task.
    SubscribeToTask Some("tasks/resubscribe");
    /// Has notifications of a task sent somewhere.
    CreateTaskPushNotificationConfig Some("tasks/pushNotificationConfig/set");
    /// Reads where they are sent.
    GetTaskPushNotificationConfig Some("tasks/pushNotificationConfig/get");
    /// Lists where they are sent.
    ListTaskPushNotificationConfigs Some("tasks/pushNotificationConfig/list");
    /// Has them sent no more.
    DeleteTaskPushNotificationConfig Some("tasks/pushNotificationConfig/delete");
    /// Reads the card that is not for everybody.
    GetExtendedAgentCard Some("agent/getAuthenticatedExtendedCard");
}

impl Operation {
    /// Its name in 1.0, which is the policy's, too.
    pub fn name(self) -> &'static str {
        self.names().0
    }

    /// Its name in JSON-RPC of 0.3, if it was there.
    pub fn old(self) -> Option<&'static str> {
        self.names().1
    }

    fn names(self) -> (&'static str, Option<&'static str>) {
        let mut names = NAMES.iter().filter(|(operation, ..)| *operation == self);
        names.next().map_or(("", None), |(_, name, old)| (name, *old))
    }

    /// The operation a JSON-RPC method of this version stands for, compared byte for byte.
    pub fn of_method(method: &str, version: Version) -> Option<Self> {
        let mut names = NAMES.iter().filter(|(_, name, old)| match version {
            Version::One => *name == method,
            Version::Old => *old == Some(method),
        });
        names.next().map(|(operation, ..)| *operation)
    }

    /// The operation of that name in 1.0.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::of_method(name, Version::One)
    }

    /// Whether it is a method of any version.
    pub fn is_method(method: &str) -> bool {
        [Version::Old, Version::One].into_iter().any(|version| Self::of_method(method, version).is_some())
    }
}
