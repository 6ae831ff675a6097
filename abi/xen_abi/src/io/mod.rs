//! `io/`: protocols between frontends and backends, through memory that both sides may change at any time.

pub mod blkif;
pub mod console;
pub mod libxenvchan;
pub mod netif;
pub mod protocols;
pub mod ring;
pub mod xenbus;
pub mod xs_wire;
