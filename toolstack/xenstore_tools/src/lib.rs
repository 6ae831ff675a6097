//! The xenstore commands of Xen, in one program: `xenstore ls`, or `xenstore-ls` by a link of that name.
//!
//! Options and output are those of Xen 4.17's `xenstore_client`.
#![forbid(unsafe_code)]

pub mod commands;
pub mod escape;
pub mod ls;
pub mod options;
