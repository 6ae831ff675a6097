//! `xsm/`: the security module.

pub mod flask_op;
