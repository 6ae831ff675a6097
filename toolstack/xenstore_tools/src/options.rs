//! The command line.

use clap::{Args, Parser, Subcommand};

/// Look at and change xenstore.
#[derive(Debug, Parser)]
#[command(name = "xenstore", version, disable_help_subcommand = true)]
pub struct Options {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// One of the commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the tree below paths, with values
    Ls {
        /// Show whole paths, one node a line, nothing shortened
        #[arg(short, long)]
        flat: bool,
        /// Show permissions
        #[arg(short, long = "prefix")]
        permissions: bool,
        /// Accepted and without effect
        #[command(flatten)]
        socket: Socket,
        /// Where to begin; / if none is given
        path: Vec<String>,
    },
    /// Show values
    Read {
        /// Show the path before each value
        #[arg(short, long)]
        prefix: bool,
        /// Show bytes as they are, without escapes and line ends
        #[arg(short = 'R', long)]
        raw: bool,
        /// Accepted and without effect
        #[command(flatten)]
        socket: Socket,
        /// Nodes to read
        #[arg(required = true)]
        path: Vec<String>,
    },
    /// Write values, all at once
    Write {
        /// Take values as they are, without escapes
        #[arg(short = 'R', long)]
        raw: bool,
        /// Accepted and without effect
        #[command(flatten)]
        socket: Socket,
        /// Paths, each followed by its value
        #[arg(required = true, num_args = 2.., value_names = ["PATH", "VALUE"], allow_hyphen_values = true)]
        pairs: Vec<String>,
    },
    /// Remove nodes with all below them
    Rm {
        /// Remove the nodes above too, as long as they are empty
        #[arg(short, long)]
        tidy: bool,
        /// Accepted and without effect
        #[command(flatten)]
        socket: Socket,
        /// Nodes to remove
        #[arg(required = true)]
        path: Vec<String>,
    },
    /// Show the names of children
    List {
        /// Show the path before each name
        #[arg(short, long)]
        prefix: bool,
        /// Accepted and without effect
        #[command(flatten)]
        socket: Socket,
        /// Nodes to list
        #[arg(required = true)]
        path: Vec<String>,
    },
    /// Say by the exit code whether nodes exist
    Exists {
        /// Accepted and without effect
        #[command(flatten)]
        socket: Socket,
        /// Nodes to look for
        #[arg(required = true)]
        path: Vec<String>,
    },
    /// Set permissions: a letter (n none, r read, w write, b both) and a domain each, the owner first
    Chmod {
        /// Set them on the nodes above too
        #[arg(short, long)]
        upto: bool,
        /// Set them on all below too
        #[arg(short, long)]
        recurse: bool,
        /// Accepted and without effect
        #[command(flatten)]
        socket: Socket,
        /// The node
        path: String,
        /// Permissions, such as n0 r3
        #[arg(required = true)]
        permissions: Vec<String>,
    },
    /// Show paths that change
    Watch {
        /// End after so many events
        #[arg(short, long)]
        number: Option<u64>,
        /// Accepted and without effect
        #[command(flatten)]
        socket: Socket,
        /// Nodes to watch
        #[arg(required = true)]
        path: Vec<String>,
    },
}

/// What old scripts pass.
#[derive(Args, Debug)]
pub struct Socket {
    /// Nothing: the socket is used when there is one
    #[arg(short, hide = true)]
    pub socket: bool,
}
