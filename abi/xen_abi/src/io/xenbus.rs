//! `io/xenbus.h`: states of a device, written in decimal to its `state` node.

abi_consts! { CONSTS, Both;
    /// Not known.
    pub const XenbusStateUnknown: u32 = 0;
    /// Starting.
    pub const XenbusStateInitialising: u32 = 1;
    /// Ready for the other side.
    pub const XenbusStateInitWait: u32 = 2;
    /// Ready to connect.
    pub const XenbusStateInitialised: u32 = 3;
    /// Connected.
    pub const XenbusStateConnected: u32 = 4;
    /// Closing.
    pub const XenbusStateClosing: u32 = 5;
    /// Closed.
    pub const XenbusStateClosed: u32 = 6;
    /// Changing its configuration.
    pub const XenbusStateReconfiguring: u32 = 7;
    /// Changed its configuration.
    pub const XenbusStateReconfigured: u32 = 8;
}
