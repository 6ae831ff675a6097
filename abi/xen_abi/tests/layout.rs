//! Compares every structure and constant of the crate with the reference headers, for both CPUs.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{Probe, View};
use xen_abi::hvm::ioreq::{BufIoreq, Ioreq};
use xen_abi::layout::{HEADERS, StructLayout};
use xen_abi::{Errno, arch_arm};

/// One number that the headers must confirm.
struct Claim {
    what: String,
    ours: u64,
    index: usize,
}

fn verify(probe: &Probe, claims: &[Claim]) {
    let (values, _) = probe.compile();
    let wrong: Vec<String> = claims
        .iter()
        .filter(|claim| values[claim.index] != claim.ours)
        .map(|claim| format!("{}: ours {:#x}, header {:#x}", claim.what, claim.ours, values[claim.index]))
        .collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), claims.len(), wrong.join("\n"));
}

/// Adds what is known of a structure. Its C type may be `@prefix TYPE MEMBER`, the part of a type before a
/// member; a field may be `FIRST..LAST`, several members in one, or `-`, which C cannot name (bit-fields).
fn claim_struct(probe: &mut Probe, claims: &mut Vec<Claim>, layout: &StructLayout) {
    let mut claim = |what: String, ours: usize, expression: String| {
        claims.push(Claim { what, ours: ours as u64, index: probe.ask(expression) });
    };
    let c_type = match layout.c_type.strip_prefix("@prefix ") {
        Some(prefix) => {
            let (c_type, member) = prefix.rsplit_once(' ').expect("a type and a member");
            claim(format!("size of {prefix}"), layout.size, format!("offsetof({c_type}, {member})"));
            c_type
        }
        None => {
            let c_type = layout.c_type;
            claim(format!("size of {c_type}"), layout.size, format!("sizeof({c_type})"));
            claim(format!("alignment of {c_type}"), layout.align, format!("_Alignof({c_type})"));
            c_type
        }
    };
    for field in layout.fields {
        if field.name.starts_with("_gap") || field.name == "-" {
            continue;
        }
        let (first, last) = field.name.split_once("..").unwrap_or((field.name, field.name));
        claim(format!("offset of {c_type}.{first}"), field.offset, format!("offsetof({c_type}, {first})"));
        claim(
            format!("end of {c_type}.{last}"),
            field.offset + field.size,
            format!("offsetof({c_type}, {last}) + sizeof((({c_type} *)0)->{last})"),
        );
    }
}

fn check_structs(view: View) {
    let mut probe = Probe::new(view, "structs");
    let mut claims = Vec::new();
    for layout in HEADERS.iter().flat_map(|header| header.structs).copied().flatten() {
        if view.has(layout.cpu) {
            claim_struct(&mut probe, &mut claims, layout);
        }
    }
    assert!(claims.len() > 1000, "only {} claims", claims.len());
    verify(&probe, &claims);
}

fn check_consts(view: View) {
    let mut probe = Probe::new(view, "consts");
    let mut claims = Vec::new();
    for constant in HEADERS.iter().flat_map(|header| header.consts).copied().flatten() {
        if view.has(constant.cpu) {
            let index = probe.ask(constant.name.to_owned());
            claims.push(Claim { what: constant.name.to_owned(), ours: constant.value as u64, index });
        }
    }
    assert!(claims.len() > 700, "only {} claims", claims.len());
    verify(&probe, &claims);
}

#[test]
fn structures_agree_with_the_arm64_headers() {
    check_structs(View::Arm64);
}

#[test]
fn structures_agree_with_the_x86_64_headers() {
    check_structs(View::X86_64);
}

#[test]
fn constants_agree_with_the_arm64_headers() {
    check_consts(View::Arm64);
}

#[test]
fn constants_agree_with_the_x86_64_headers() {
    check_consts(View::X86_64);
}

/// Prefixes of numbers of which none may be missing.
const COMPLETE: &[&str] = &[
    "__HYPERVISOR_",
    "CALLBACKOP_",
    "CALLBACKTYPE_",
    "CONSOLEIO_",
    "DOMID_",
    "DT_IRQ_TYPE_",
    "EVTCHNOP_",
    "EVTCHNSTAT_",
    "EVTCHN_",
    "FLASK_",
    "GNTCOPY_",
    "GNTMAP_",
    "GNTST_",
    "GNTTABOP_",
    "GNTTAB_",
    "GTF_",
    "GUEST_",
    "HVMOP_",
    "HVM_NR_PARAMS",
    "HVM_PARAM_",
    "IOREQ_",
    "KEXEC_CMD_",
    "MAP_PIRQ_TYPE_",
    "MMUEXT_",
    "MMU_",
    "NETRXF_",
    "NETTXF_",
    "NR_VIRQS",
    "PHYSDEVOP_",
    "PSCI_",
    "PSR_",
    "RUNSTATE_",
    "SCHEDOP_",
    "SHUTDOWN_",
    "SIF_",
    "STATE_IO",
    "VCPUOP_",
    "VIRQ_",
    "VMASST_",
    "XENFEAT_",
    "XENMAPSPACE_",
    "XENMEM_",
    "XENNMI_",
    "XENPF_",
    "XENPMU_",
    "XENSTORE_",
    "XENVER_",
    "XEN_ARGO_",
    "XEN_DMOP_",
    "XEN_DOMCTL_",
    "XEN_DOMINF_",
    "XEN_ELFNOTE_",
    "XEN_HYPFS_",
    "XEN_SCHEDULER_",
    "XEN_SYSCTL_",
    "XEN_VCPUAFFINITY_",
    "XEN_VM_EVENT_",
    "BLKIF_",
];

/// Macros with such a prefix that are left out, with the reason.
const LEFT_OUT: &[(&str, &str)] = &[
    ("GNTTABOP_error_msgs", "texts"),
    ("GUEST_RAM_BANK_BASES", "an array, see GUEST_RAM_BANK"),
    ("GUEST_RAM_BANK_SIZES", "an array, see GUEST_RAM_BANK"),
    ("PHYSDEVOP_pirq_eoi_gmfn", "another name of the second version"),
    ("XENPF_settime", "another name of the 64-bit form"),
    ("XENPMU_CTXT_PAD_SZ", "the register areas are not described"),
    ("XENPMU_REGS_PAD_SZ", "the register areas are not described"),
    ("__HYPERVISOR_VIRT_START", "assembler form of HYPERVISOR_VIRT_START"),
    ("__HYPERVISOR_VIRT_END", "assembler form of HYPERVISOR_VIRT_END"),
];

fn check_complete(view: View) {
    let known: BTreeSet<&str> = HEADERS
        .iter()
        .flat_map(|header| header.consts)
        .copied()
        .flatten()
        .filter(|constant| view.has(constant.cpu))
        .map(|constant| constant.name)
        .collect();
    let missing: Vec<String> = Probe::new(view, "macros")
        .macros()
        .into_iter()
        .filter(|name| COMPLETE.iter().any(|prefix| name.starts_with(prefix)))
        .filter(|name| !known.contains(name.as_str()))
        .filter(|name| !LEFT_OUT.iter().any(|(left_out, _)| name == left_out))
        .collect();
    assert!(missing.is_empty(), "{} missing:\n{}", missing.len(), missing.join("\n"));
}

#[test]
fn no_number_of_the_arm64_headers_is_missing() {
    check_complete(View::Arm64);
}

#[test]
fn no_number_of_the_x86_64_headers_is_missing() {
    check_complete(View::X86_64);
}

/// Headers of which no structure may be missing.
const COMPLETE_HEADERS: &[&str] = &[
    "arch-arm.h",
    "domctl.h",
    "event_channel.h",
    "grant_table.h",
    "hvm/dm_op.h",
    "memory.h",
    "physdev.h",
    "sched.h",
    "sysctl.h",
    "vcpu.h",
    "version.h",
    "xen.h",
];

/// Structures of those headers that are left out, with the reason.
const LEFT_OUT_STRUCTS: &[(&str, &str)] = &[
    ("arch_shared_info", "empty on arm"),
    ("arch_vcpu_info", "empty on arm"),
    ("dom0_vga_console_info", "no user yet"),
    ("evtchn_op", "argument of a call that was replaced in 2006"),
    ("livepatch_func", "inside the hypervisor"),
    ("livepatch_expectation", "inside the hypervisor"),
    ("mem_sharing_op_debug", "a single word"),
    ("mmuext_op", "x86 PV, to come with it"),
    ("physdev_op", "argument of a call that was replaced in 2006"),
    ("xen_pmu_arch", "a placeholder on arm"),
];

#[test]
fn no_structure_of_the_main_headers_is_missing() {
    let known: BTreeSet<&str> = HEADERS
        .iter()
        .flat_map(|header| header.structs)
        .copied()
        .flatten()
        .map(|layout| layout.c_type)
        .collect();
    let mut found = 0;
    let mut missing = Vec::new();
    for header in COMPLETE_HEADERS {
        for name in common::structs_of(header) {
            found += 1;
            if !known.contains(format!("struct {name}").as_str())
                && !LEFT_OUT_STRUCTS.iter().any(|(left_out, _)| name == *left_out)
            {
                missing.push(format!("{header}: {name}"));
            }
        }
    }
    assert!(found > 200, "only {found} structures found");
    assert!(missing.is_empty(), "{} missing:\n{}", missing.len(), missing.join("\n"));
}

#[test]
fn every_table_in_the_sources_is_compared() {
    fn count(dir: &Path, word: &str) -> usize {
        fs::read_dir(dir)
            .expect("source folder")
            .map(|entry| entry.expect("folder entry").path())
            .map(|path| {
                if path.is_dir() {
                    return count(&path, word);
                }
                let text = fs::read_to_string(&path).expect("source file");
                text.lines().filter(|line| line.trim_start().starts_with(word)).count()
            })
            .sum()
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let structs: usize = HEADERS.iter().map(|header| header.structs.len()).sum();
    let consts: usize = HEADERS.iter().map(|header| header.consts.len()).sum();
    assert_eq!(count(&src, "abi_structs! {"), structs);
    assert_eq!(count(&src, "abi_consts! {"), consts);
}

#[test]
fn errors_agree_with_the_header_and_none_is_missing() {
    let mut probe = Probe::new(View::Arm64, "errno");
    // The header calls a macro for each error; the hypervisor's own view has two that the tools' view lacks.
    probe.prologue = String::from(
        "#define __XEN__\n#define XEN_ERRNO(name, value) K_##name = value,\n\
         enum {\n#include <xen/errno.h>\n};\n\
         #define XEN_ERRNO(name, value) + 1\nenum { COUNT = 0\n#include <xen/errno.h>\n};\n",
    );
    let aliases = [("EWOULDBLOCK", Errno::EWOULDBLOCK), ("EDEADLOCK", Errno::EDEADLOCK)];
    let named = Errno::ALL.iter().map(|&error| (error.name(), error)).chain(aliases);
    let mut claims = Vec::new();
    for (name, error) in named {
        let index = probe.ask(format!("K_{name}"));
        claims.push(Claim { what: name.to_owned(), ours: u64::from(error.code()), index });
    }
    let index = probe.ask("COUNT".to_owned());
    claims.push(Claim { what: "number of errors".to_owned(), ours: claims.len() as u64, index });
    verify(&probe, &claims);
}

#[test]
fn smccc_identifiers_agree_with_the_header() {
    let mut probe = Probe::new(View::Arm64, "smccc");
    probe.prologue.push_str("#include <xen/arch-arm/smccc.h>\n");
    let mut claims = Vec::new();
    let mut claim = |what: &str, ours: u64, expression: String| {
        claims.push(Claim { what: what.to_owned(), ours, index: probe.ask(expression) });
    };
    for (name, ours) in [
        ("XEN_SMCCC_MAJOR_REVISION", arch_arm::XEN_SMCCC_MAJOR_REVISION),
        ("XEN_SMCCC_MINOR_REVISION", arch_arm::XEN_SMCCC_MINOR_REVISION),
        ("SSSC_SMCCC_MAJOR_REVISION", arch_arm::SSSC_SMCCC_MAJOR_REVISION),
        ("SSSC_SMCCC_MINOR_REVISION", arch_arm::SSSC_SMCCC_MINOR_REVISION),
    ] {
        claim(name, u64::from(ours), name.to_owned());
    }
    verify(&probe, &claims);

    // A UUID is an aggregate, so it goes into an object of its own behind a marker.
    const MARK: [u64; 2] = [0x1122_3344_5566_7788, 0x99aa_bbcc_ddee_ff01];
    probe.prologue.push_str(
        "const struct { unsigned long long mark[2]; xen_uuid_t xen, sssc; } uuids = {\n\
         { 0x1122334455667788ULL, 0x99aabbccddeeff01ULL }, XEN_SMCCC_UID, SSSC_SMCCC_UID };\n",
    );
    let words = common::words_behind(&probe.compile().1, MARK, 4);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(bytes[..16], arch_arm::XEN_SMCCC_UID);
    assert_eq!(bytes[16..], arch_arm::SSSC_SMCCC_UID);
}

fn check_ioreq_bits(view: View) {
    const MARK: [u64; 2] = [0x0f1e_2d3c_4b5a_6978, 0x8796_a5b4_c3d2_e1f0];
    let mut probe = Probe::new(view, "ioreq");
    probe.prologue.push_str(
        "const struct { unsigned long long mark[2]; struct buf_ioreq b; struct ioreq r; } bits = {\n\
         { 0x0f1e2d3c4b5a6978ULL, 0x8796a5b4c3d2e1f0ULL },\n\
         { .type = 7, .dir = 1, .size = 2, .addr = 0xabcde, .data = 0x12345678 },\n\
         { .state = STATE_IORESP_READY, .data_is_ptr = 1, .df = 1, .type = 8 } };\n",
    );
    let words = common::words_behind(&probe.compile().1, MARK, 5);
    let buffered = u64::from(BufIoreq::pack(7, true, 2, 0xabcde)) | 0x1234_5678 << 32;
    let request = u64::from(Ioreq::pack(3, true, false, true)) << 48 | 8 << 56;
    assert_eq!(words, [buffered, 0, 0, 0, request]);
}

#[test]
fn ioreq_bits_agree_with_the_arm64_headers() {
    check_ioreq_bits(View::Arm64);
}

#[test]
fn ioreq_bits_agree_with_the_x86_64_headers() {
    check_ioreq_bits(View::X86_64);
}
