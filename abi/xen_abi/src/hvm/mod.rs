//! `hvm/`: parameters of translated guests, `hvm_op`, device models.

pub mod dm_op;
pub mod hvm_op;
pub mod ioreq;
pub mod params;
pub mod save;
