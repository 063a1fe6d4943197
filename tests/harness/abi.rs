//! The proxy-wasm ABI 0.2.1 as bytes: status codes, numbered kinds, header-map and property encodings, guest memory.
//!
//! Section names refer to <https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1>.

use crate::headers::Headers;
use crate::vm::Guest;
use wasmtime::{Caller, Extern, Memory};

/// What a hostcall answers (`proxy_status_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    InvalidMemory = 6,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
}

/// The outcome of a hostcall before it becomes a number.
pub(crate) type Answer<T = ()> = Result<T, Status>;

/// `proxy_map_type_t`, as far as HTTP filters use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Map {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
    CallHeaders,
    CallTrailers,
}

impl Map {
    pub(crate) fn of(number: i32) -> Answer<Self> {
        Ok(match number {
            0 => Self::RequestHeaders,
            1 => Self::RequestTrailers,
            2 => Self::ResponseHeaders,
            3 => Self::ResponseTrailers,
            6 => Self::CallHeaders,
            7 => Self::CallTrailers,
            _ => return Err(Status::BadArgument),
        })
    }
}

/// `proxy_buffer_type_t`, as far as HTTP filters use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Buffer {
    RequestBody,
    ResponseBody,
    CallBody,
    VmConfiguration,
    PluginConfiguration,
}

impl Buffer {
    pub(crate) fn of(number: i32) -> Answer<Self> {
        Ok(match number {
            0 => Self::RequestBody,
            1 => Self::ResponseBody,
            4 => Self::CallBody,
            6 => Self::VmConfiguration,
            7 => Self::PluginConfiguration,
            2 | 3 | 5 | 8 => return Err(Status::NotFound),
            _ => return Err(Status::BadArgument),
        })
    }
}

/// Writes a header map: count, then all lengths, then all names and values with a NUL after each.
pub(crate) fn encode(headers: &Headers) -> Vec<u8> {
    let mut bytes = Vec::from((headers.len() as u32).to_le_bytes());
    for (name, value) in headers.iter() {
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in headers.iter() {
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.extend(value);
        bytes.push(0);
    }
    bytes
}

/// Reads what the guest wrote with the same encoding; `None` where Envoy would see garbage.
pub(crate) fn decode(bytes: &[u8]) -> Option<Headers> {
    if bytes.is_empty() {
        return Some(Headers::default());
    }
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let count = number(0)?;
    let mut at = 4 + count.checked_mul(8)?;
    let mut headers = Headers::default();
    for pair in 0..count {
        let name = bytes.get(at..at + number(4 + pair * 8)?)?;
        at += name.len() + 1;
        let value = bytes.get(at..at + number(8 + pair * 8)?)?;
        at += value.len() + 1;
        headers.add(std::str::from_utf8(name).ok()?, value);
    }
    Some(headers)
}

/// A property path: its elements, separated by NUL on the wire.
pub(crate) fn path(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// The guest's memory, seen from inside a hostcall.
pub(crate) struct Window<'a, 'b> {
    pub(crate) caller: &'a mut Caller<'b, Guest>,
    memory: Memory,
}

impl<'a, 'b> Window<'a, 'b> {
    /// Opens the memory the calling module exports.
    pub(crate) fn open(caller: &'a mut Caller<'b, Guest>) -> Answer<Self> {
        match caller.get_export("memory") {
            Some(Extern::Memory(memory)) => Ok(Self { caller, memory }),
            _ => Err(Status::InvalidMemory),
        }
    }

    /// A copy of `len` bytes at `at`.
    pub(crate) fn read(&self, at: i32, len: i32) -> Answer<Vec<u8>> {
        let (at, len) = (at as u32 as usize, len as u32 as usize);
        let end = at.checked_add(len).ok_or(Status::InvalidMemory)?;
        let data = self.memory.data(&*self.caller);
        data.get(at..end).map(<[u8]>::to_vec).ok_or(Status::InvalidMemory)
    }

    /// The text of `len` bytes at `at`; names that are not UTF-8 do not occur in Envoy.
    pub(crate) fn text(&self, at: i32, len: i32) -> Answer<String> {
        String::from_utf8(self.read(at, len)?).map_err(|_| Status::BadArgument)
    }

    /// Overwrites memory at `at`.
    pub(crate) fn write(&mut self, at: i32, bytes: &[u8]) -> Answer {
        self.memory.write(&mut *self.caller, at as u32 as usize, bytes).map_err(|_| Status::InvalidMemory)
    }

    /// Overwrites one 32-bit number.
    pub(crate) fn number(&mut self, at: i32, number: u32) -> Answer {
        self.write(at, &number.to_le_bytes())
    }

    /// Hands `bytes` over: allocated by the guest, address and length written to the two out-parameters. Nothing is
    /// allocated for an empty value, which the guest then sees as a null pointer.
    pub(crate) fn give(&mut self, bytes: &[u8], address: i32, length: i32) -> Answer {
        let mut at = 0;
        if !bytes.is_empty() {
            let allocate = ["proxy_on_memory_allocate", "malloc"]
                .iter()
                .find_map(|name| self.caller.get_export(name)?.into_func())
                .ok_or(Status::InternalFailure)?;
            let allocate = allocate.typed::<u32, u32>(&*self.caller).map_err(|_| Status::InternalFailure)?;
            at = allocate.call(&mut *self.caller, bytes.len() as u32).map_err(|_| Status::InternalFailure)?;
            self.write(at as i32, bytes)?;
        }
        self.number(address, at)?;
        self.number(length, bytes.len() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_map_survives_the_wire_byte_for_byte() {
        let headers = Headers::of([("a", &b"\xff\x80"[..]), ("a", b""), ("b", b"2")]);
        assert_eq!(decode(&encode(&headers)), Some(headers));
    }

    #[test]
    fn a_truncated_header_map_is_refused() {
        let bytes = encode(&Headers::of([("a", "1")]));
        assert_eq!(decode(&bytes[..bytes.len() - 2]), None);
    }
}
