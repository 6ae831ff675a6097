//! The serial console.
use crate::fault::{Fault, Problem};
use crate::fdt::interrupt::Interrupt;
use crate::fdt::{NodeId, Tree, value};
use crate::host::gic;
use crate::range::Range;

/// Kinds of UART that there are drivers for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UartKind {
    /// Arm PrimeCell PL011.
    Pl011,
    /// The part of a PL011 that the SBSA asks for; firmware sets speed and format.
    Sbsa,
    /// 16550 and the like.
    Ns16550 {
        /// Registers are 1 << this many bytes apart.
        reg_shift: u8,
        /// Bytes per register access: 1 or 4.
        io_width: u8,
        /// Synopsys' variant with its busy-detect register.
        designware: bool,
    },
}

/// The serial console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uart<'a> {
    /// What it is.
    pub kind: UartKind,
    /// Its registers.
    pub range: Range,
    /// Its interrupt; `None` when it has none that the GIC gets.
    pub interrupt: Option<Interrupt>,
    /// What follows the path after a colon, such as `115200n8`.
    pub options: &'a str,
    /// Its node, which dom0 does not get.
    pub node: NodeId,
}

impl Uart<'_> {
    /// The speed in the options, in baud.
    pub fn baud(&self) -> Option<u32> {
        let end = self.options.find(|c: char| !c.is_ascii_digit());
        let digits = match end {
            Some(end) => self.options.get(..end)?,
            None => self.options,
        };
        digits.parse().ok().filter(|baud| *baud != 0)
    }
}

/// Finds the console: `dtuart` (path or alias, options after a colon) when it is given, or what
/// /chosen calls `stdout-path`, or the alias `serial0`.
pub fn find<'a>(tree: &Tree<'a>, dtuart: Option<&'a str>) -> Result<Uart<'a>, Fault> {
    let stdout = || match tree.child(NodeId::ROOT, "chosen") {
        None => Ok(None),
        Some(chosen) => match tree.property_text(chosen, "stdout-path")? {
            Some(path) => Ok(Some(path)),
            None => tree.property_text(chosen, "linux,stdout-path"),
        },
    };
    let given = dtuart.filter(|path| !path.is_empty());
    let wanted = match given {
        Some(path) => Some(path),
        None => stdout()?,
    };
    let (path, options) = match wanted {
        Some(wanted) => wanted.split_once(':').unwrap_or((wanted, "")),
        None => ("serial0", ""),
    };
    let node = tree.find(path).ok_or_else(|| {
        Fault::general(match wanted {
            Some(_) => Problem::NoSuchUart,
            None => Problem::NoStdout,
        })
    })?;
    Ok(Uart {
        kind: kind(tree, node)?,
        range: tree.need_cpu_reg(node, 0)?,
        interrupt: interrupt(tree, node),
        options,
        node,
    })
}

fn kind(tree: &Tree<'_>, node: NodeId) -> Result<UartKind, Fault> {
    let compatible = tree.property(node, "compatible").unwrap_or_default();
    let is = |names| value::has_text(compatible, names);
    if is(&["arm,pl011"]) {
        return Ok(UartKind::Pl011);
    }
    if is(&["arm,sbsa-uart"]) {
        return Ok(UartKind::Sbsa);
    }
    let bcm = is(&["brcm,bcm2835-aux-uart"]);
    let designware = is(&["snps,dw-apb-uart"]);
    if !bcm && !designware && !is(&["ns16550", "ns16550a"]) {
        return Err(tree.fault(node, Problem::UnknownUart));
    }
    let number = |name, default| tree.property_u32(node, name).unwrap_or(default);
    let (reg_shift, io_width) =
        if bcm { (2, 4) } else { (number("reg-shift", 0), number("reg-io-width", 1)) };
    match (u8::try_from(reg_shift), io_width) {
        (Ok(reg_shift @ 0..=3), 1 | 4) => Ok(UartKind::Ns16550 {
            reg_shift,
            // 1 or 4.
            io_width: io_width as u8,
            designware,
        }),
        (Ok(0..=3), _) => Err(tree.fault(node, Problem::BadValue("reg-io-width"))),
        _ => Err(tree.fault(node, Problem::BadValue("reg-shift"))),
    }
}

/// The first interrupt, if it goes to a GIC. A console works without.
fn interrupt(tree: &Tree<'_>, node: NodeId) -> Option<Interrupt> {
    let mut first = None;
    let mut seen = false;
    tree.interrupts(node, &mut |controller, specifier| {
        if !seen && tree.property(controller, "compatible").is_some_and(gic::is_gic) {
            first = Interrupt::from_gic(specifier);
        }
        seen = true;
        Ok(())
    })
    .ok()?;
    first
}
