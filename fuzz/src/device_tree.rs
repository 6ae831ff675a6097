//! The host's device tree: the reader, what the hypervisor takes from it, and its command line.

use arm_fdt::fdt::Tree;
use arm_fdt::host::{HostInfo, HostInput, command_lines, uart};
use arm_fdt::{Fault, Range};

pub(crate) fn one_input(bytes: &[u8]) {
    let tree = match Tree::parse(bytes) {
        Ok(tree) => tree,
        Err(error) => return check_message(&error.to_string()),
    };
    for node in tree.nodes() {
        let path = tree.path(node).to_string();
        assert!(path.starts_with('/'), "{path}");
        for property in tree.properties(node) {
            let _ = tree.property_name(&property);
        }
        let _ = (tree.interrupt_parent(node), tree.phandle(node).map(|phandle| tree.by_phandle(phandle)));
        for index in 0..4 {
            let _ = tree.cpu_reg(node, index);
        }
    }
    let check_fault = |fault: &Fault| check_message(&tree.explain(fault).to_string());
    let _ = command_lines(&tree).map_err(|fault| check_fault(&fault));
    let _ = uart::find(&tree, None).map_err(|fault| check_fault(&fault));
    let range = |start, size| Range::new(start, size).expect("far from the end");
    let input = HostInput {
        image: range(0x4020_0000, 0x8_0000),
        fdt: range(0x4f00_0000, 0x10_0000),
        read_u32: &|address| Some(address as u32),
    };
    let info = HostInfo::parse(&tree, &input, &mut |fault| check_fault(fault));
    match info {
        Ok(info) => assert!(!info.cpus.is_empty() && info.kernel().is_some()),
        Err(fault) => check_fault(&fault),
    }
}

fn check_message(message: &str) {
    assert!(!message.is_empty() && !message.contains('\n'), "{message:?}");
}
