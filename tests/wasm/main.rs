//! The filter as it is shipped, in a fake Envoy.

mod audit;
mod binding;
mod body;
mod cache;
mod call;
mod callout;
mod chain;
mod chaos;
mod condition;
mod config;
mod host;
mod keys;
mod listing;
mod memory;
mod native;
mod origin;
mod peer;
mod response;
mod samples;
mod sections;
mod shadow;
mod spiffe;
mod status;
mod strict;
mod support;
mod token;
