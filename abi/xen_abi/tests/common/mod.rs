//! Asks the reference headers of Debian's `libxen-dev`, through a C compiler for each CPU, what they say.
//!
//! Nothing is run: a small C file puts the wanted numbers into a constant array behind a marker, and the
//! array is read out of the object file.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xen_abi::layout::{Cpu, HEADERS};

/// Where `libxen-dev` puts the headers.
const HEADER_DIR: &str = "/usr/include/xen";

/// Marks the array in the object file.
const MARKER: [u64; 2] = [0x7f3a_91c4_5e08_d6b2, 0x1d9b_62f0_a4c7_835e];

/// A CPU's view of the headers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum View {
    Arm64,
    X86_64,
}

impl View {
    /// Whether an entry for `cpu` belongs to this view.
    pub fn has(self, cpu: Cpu) -> bool {
        match cpu {
            Cpu::Both => true,
            Cpu::Arm64 => self == Self::Arm64,
            Cpu::X86_64 => self == Self::X86_64,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    /// The first C compiler for this CPU that the machine has.
    fn compiler(self) -> &'static str {
        let (candidates, package) = match self {
            Self::Arm64 => {
                (["aarch64-linux-gnu-gcc-12", "aarch64-linux-gnu-gcc"], "gcc-12-aarch64-linux-gnu")
            }
            Self::X86_64 => {
                (["x86_64-linux-gnu-gcc-12", "x86_64-linux-gnu-gcc"], "gcc-12-x86-64-linux-gnu or gcc")
            }
        };
        let works = |name: &&str| {
            Command::new(name).arg("-dumpmachine").output().is_ok_and(|out| out.status.success())
        };
        candidates
            .into_iter()
            .find(works)
            .unwrap_or_else(|| panic!("no C compiler for {}: install the package {package}", self.name()))
    }
}

/// A C file under construction and the directory in which it is compiled.
pub struct Probe {
    view: View,
    dir: PathBuf,
    /// Text in front of the array: includes and declarations.
    pub prologue: String,
    expressions: Vec<String>,
}

impl Probe {
    /// An empty probe for a view; `name` must differ between tests, which run at the same time.
    pub fn new(view: View, name: &str) -> Self {
        assert!(
            Path::new(HEADER_DIR).join("xen.h").exists(),
            "no reference headers in {HEADER_DIR}: install the package libxen-dev"
        );
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", view.name()));
        // Two headers want files that only a hosted compiler or the hypervisor's own tree has.
        for (file, text) in [("sys/types.h", ""), ("public/xen.h", "#include <xen/xen.h>\n")] {
            let path = dir.join(file);
            fs::create_dir_all(path.parent().expect("a file has a folder")).expect("temporary folder");
            fs::write(path, text).expect("temporary file");
        }
        let link = dir.join("xen");
        if !link.exists() {
            std::os::unix::fs::symlink(HEADER_DIR, &link).expect("link to the headers");
        }
        let mut prologue = String::from("#include <stddef.h>\n#include <stdint.h>\n");
        // The headers that only make sense on one CPU are included by xen.h.
        for header in HEADERS.iter().filter(|header| !header.name.starts_with("arch-")) {
            writeln!(prologue, "#include <xen/{}>", header.name).expect("write to a string");
        }
        Self { view, dir, prologue, expressions: Vec::new() }
    }

    /// Adds a constant expression and returns the index of its value.
    pub fn ask(&mut self, expression: String) -> usize {
        self.expressions.push(expression);
        self.expressions.len() - 1
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.view.compiler());
        command.current_dir(&self.dir).args(["-std=gnu11", "-ffreestanding", "-w", "-I."]);
        command.arg("-D__XEN_TOOLS__").arg("-D__XEN_INTERFACE_VERSION__=0x00040e00");
        command
    }

    /// Compiles the file; returns the values in the order of the questions, and the object file.
    pub fn compile(&self) -> (Vec<u64>, Vec<u8>) {
        let mut text = self.prologue.clone();
        text.push_str("const unsigned long long probe[] = {\n");
        for value in MARKER {
            writeln!(text, "{value:#x}ULL,").expect("write to a string");
        }
        for expression in &self.expressions {
            writeln!(text, "(unsigned long long)({expression}),").expect("write to a string");
        }
        text.push_str("};\n");
        fs::write(self.dir.join("probe.c"), text).expect("temporary file");
        let output =
            self.command().args(["-c", "probe.c", "-o", "probe.o"]).output().expect("compiler starts");
        assert!(
            output.status.success(),
            "the {} compiler refuses the headers or a name:\n{}",
            self.view.name(),
            String::from_utf8_lossy(&output.stderr)
        );
        let object = fs::read(self.dir.join("probe.o")).expect("object file");
        let values = words_behind(&object, MARKER, self.expressions.len());
        (values, object)
    }

    /// Names of the object-like macros that the headers define.
    pub fn macros(&self) -> Vec<String> {
        fs::write(self.dir.join("macros.c"), &self.prologue).expect("temporary file");
        let output = self.command().args(["-dM", "-E", "macros.c"]).output().expect("compiler starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("macro names are ASCII");
        let name = |line: &str| line.strip_prefix("#define ")?.split(' ').next().map(str::to_owned);
        text.lines().filter_map(name).filter(|name| !name.contains('(')).collect()
    }
}

/// The `count` words behind a marker in an object file.
pub fn words_behind(object: &[u8], marker: [u64; 2], count: usize) -> Vec<u64> {
    let bytes: Vec<u8> = marker.iter().flat_map(|word| word.to_le_bytes()).collect();
    let start =
        object.windows(bytes.len()).position(|window| window == bytes).expect("marker in the object file");
    let array = &object[start + bytes.len()..][..count * 8];
    array.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight bytes"))).collect()
}

/// Names of the structures that a header defines, by its text.
pub fn structs_of(header: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(HEADER_DIR).join(header))
        .unwrap_or_else(|error| panic!("{header}: {error}: install the package libxen-dev"));
    let mut names = Vec::new();
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let name = words.peek().copied().unwrap_or_default();
        if word == "struct" && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let name = name.to_owned();
            words.next();
            if words.peek().is_some_and(|next| next.starts_with('{')) {
                names.push(name);
            }
        }
    }
    names
}
