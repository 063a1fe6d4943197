//! What crosses between the filter and the broker; both sides use these types.

pub mod audit;
pub mod exchange;
pub mod feed;
pub mod session;
