//! Which functions of the hypervisor a row's instructions are in.

use anyhow::{Context, Result, ensure};
use elf::ElfBytes;
use elf::abi::STT_FUNC;
use elf::endian::LittleEndian;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::counts::Counts;
use super::table;

/// Prints executed instructions by function of one batch of a row, most first.
///
/// # Errors
/// When `program`, the hypervisor with symbols, cannot be read, or nothing was profiled.
pub fn print(program: &Path, counts: &Counts, row: u16) -> Result<()> {
    let name = table::row_name(row);
    let operations = counts.rows.get(name).map(|row| row.operations).context("the row was not measured")?;
    ensure!(!counts.profile.is_empty(), "nothing was profiled");
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let functions = functions(&bytes)?;

    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for (address, executed) in &counts.profile {
        *totals.entry(function_at(&functions, *address)).or_default() += executed;
    }
    let mut totals: Vec<_> = totals.into_iter().collect();
    totals.sort_by_key(|(name, executed)| (std::cmp::Reverse(*executed), *name));
    println!();
    println!("Instructions per operation of {name}, first batch, by function");
    for (function, executed) in totals {
        println!("    {:>10.1}  {function}", executed as f64 / operations as f64);
    }
    Ok(())
}

/// Start and name of each function, and of each label of assembly code, by address.
fn functions(file: &[u8]) -> Result<BTreeMap<u64, String>> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).context("not a little-endian ELF file")?;
    let (symbols, names) = elf.symbol_table()?.context("the hypervisor has no symbols")?;
    let mut functions = BTreeMap::new();
    for symbol in symbols.iter() {
        let name = names.get(symbol.st_name as usize)?;
        // Labels of assembly code have no type; `$x` and `$d` mark code and data for disassemblers.
        let known = functions.contains_key(&symbol.st_value);
        if symbol.st_symtype() == STT_FUNC || (!known && !name.is_empty() && !name.starts_with('$')) {
            functions.insert(symbol.st_value, name.to_owned());
        }
    }
    Ok(functions)
}

fn function_at(functions: &BTreeMap<u64, String>, address: u64) -> &str {
    functions.range(..=address).next_back().map_or("?", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::function_at;
    use std::collections::BTreeMap;

    #[test]
    fn address_belongs_to_the_function_before_it() {
        let functions = BTreeMap::from([(0x10, "a".to_owned()), (0x20, "b".to_owned())]);
        assert_eq!(function_at(&functions, 0x1c), "a");
        assert_eq!(function_at(&functions, 0x20), "b");
        assert_eq!(function_at(&functions, 0x8), "?");
    }
}
