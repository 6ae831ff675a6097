//! `xsm/flask_op.h`: numbers of the FLASK operations.

abi_consts! { CONSTS, Both;
    /// Interface version.
    pub const XEN_FLASK_INTERFACE_VERSION: u32 = 1;
    /// Loads a policy.
    pub const FLASK_LOAD: u32 = 1;
    /// Whether the policy is enforced.
    pub const FLASK_GETENFORCE: u32 = 2;
    /// Enforces the policy or not.
    pub const FLASK_SETENFORCE: u32 = 3;
    /// Label to number.
    pub const FLASK_CONTEXT_TO_SID: u32 = 4;
    /// Number to label.
    pub const FLASK_SID_TO_CONTEXT: u32 = 5;
    /// Asks for a decision.
    pub const FLASK_ACCESS: u32 = 6;
    /// Label of a new object.
    pub const FLASK_CREATE: u32 = 7;
    /// Label of a relabelled object.
    pub const FLASK_RELABEL: u32 = 8;
    /// Removed.
    pub const FLASK_USER: u32 = 9;
    /// Version of the policy format.
    pub const FLASK_POLICYVERS: u32 = 10;
    /// Reads a boolean.
    pub const FLASK_GETBOOL: u32 = 11;
    /// Sets a boolean.
    pub const FLASK_SETBOOL: u32 = 12;
    /// Puts the booleans into effect.
    pub const FLASK_COMMITBOOLS: u32 = 13;
    /// Whether there are security levels.
    pub const FLASK_MLS: u32 = 14;
    /// Removed.
    pub const FLASK_DISABLE: u32 = 15;
    /// Size of the decision cache.
    pub const FLASK_GETAVC_THRESHOLD: u32 = 16;
    /// Sets the size of the decision cache.
    pub const FLASK_SETAVC_THRESHOLD: u32 = 17;
    /// Statistics of the decision cache.
    pub const FLASK_AVC_HASHSTATS: u32 = 18;
    /// Statistics of the decision cache per CPU.
    pub const FLASK_AVC_CACHESTATS: u32 = 19;
    /// Label of a member object.
    pub const FLASK_MEMBER: u32 = 20;
    /// Labels a range of resources.
    pub const FLASK_ADD_OCONTEXT: u32 = 21;
    /// Unlabels a range of resources.
    pub const FLASK_DEL_OCONTEXT: u32 = 22;
    /// Label of the other end of a port.
    pub const FLASK_GET_PEER_SID: u32 = 23;
    /// Changes a domain's label.
    pub const FLASK_RELABEL_DOMAIN: u32 = 24;
    /// Labels a device tree node.
    pub const FLASK_DEVICETREE_LABEL: u32 = 25;
}
