//! Completion of command lines in shells, made from the same description as the command line itself.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::Result;
use clap::{Arg, Command, CommandFactory, ValueHint};

use crate::Options;
use crate::cli::{Completion, Shell};

/// What precedes the verbs' own cases. Names of domains that a shell could take for more than a word are left out.
const HEAD: &str = r#"# Completion of xl's command lines in bash.
_xl_domains() {
    xl list 2>/dev/null | awk 'NR > 1 && $1 ~ /^[[:alnum:]_.:+-]+$/ { print $1 }'
}

_xl() {
    local cur=${COMP_WORDS[COMP_CWORD]} options="" words="" domains="" files=""
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W "$(_xl_verbs)" -- "$cur"))
        return
    fi
    case ${COMP_WORDS[1]} in
"#;

const TAIL: &str = r#"    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
        return
    fi
    if [[ $domains ]]; then words+=" $(_xl_domains)"; fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    if [[ $files ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY+=($(compgen -f -- "$cur"))
    fi
}

complete -F _xl xl
"#;

impl Completion {
    /// Writes the script for the shell. No hypervisor is needed for that.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        match self.shell {
            Shell::Bash => Ok(out.write_all(bash().as_bytes())?),
        }
    }
}

/// The script for bash.
fn bash() -> String {
    let command = Options::command();
    let verbs: Vec<&Command> = command.get_subcommands().filter(|verb| !verb.is_hide_set()).collect();
    let names: Vec<&str> = verbs.iter().map(|verb| verb.get_name()).collect();
    let mut text = HEAD.to_owned();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "    help) words=\"{}\" ;;", names.join(" "));
    for verb in verbs {
        let _ = writeln!(text, "    {}) {} ;;", verb.get_name(), case(verb));
    }
    text += TAIL;
    let _ = writeln!(text, "\n_xl_verbs() {{\n    echo \"{} help\"\n}}", names.join(" "));
    text
}

/// What can follow a verb, as assignments.
fn case(verb: &Command) -> String {
    let shown: Vec<&Arg> = verb.get_arguments().filter(|argument| !argument.is_hide_set()).collect();
    let mut options = vec!["--help".to_owned()];
    let mut words = Vec::new();
    let (mut domains, mut files) = ("", "");
    for argument in shown {
        options.extend(argument.get_long().map(|long| format!("--{long}")));
        options.extend(argument.get_short().map(|short| format!("-{short}")));
        if !argument.is_positional() {
            continue;
        }
        match argument.get_id().as_str() {
            "domain" | "domains" => domains = "yes",
            _ if argument.get_value_hint() == ValueHint::AnyPath => files = "yes",
            _ => words.extend(argument.get_possible_values().iter().map(|it| it.get_name().to_owned())),
        }
    }
    format!(
        "options=\"{}\" words=\"{}\" domains=\"{domains}\" files=\"{files}\"",
        options.join(" "),
        words.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use domain::fake::TemporaryFolder;

    use super::*;

    /// What bash offers for the last of these words, where `xl list` shows domains of hostile names too.
    fn offers(line: &str) -> Vec<String> {
        let domains = r"printf 'Name  ID\nDomain-0 0\nweb 7\n$(touch /tmp/hacked) 8\nmail 9\n'";
        let (words, last) = line.rsplit_once(' ').unwrap();
        let script = format!(
            "{}\nxl() {{ {domains}; }}\nCOMP_WORDS=({words} \"$1\")\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n_xl\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            bash()
        );
        let done = Command::new("bash").args(["-c", &script, "bash", last]).output().unwrap();
        assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8(done.stdout).unwrap();
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn verbs_options_domains_and_values_are_offered() {
        assert_eq!(offers("xl vcpu-"), ["vcpu-list", "vcpu-pin", "vcpu-set"]);
        assert!(offers("xl h").contains(&"help".to_owned()));
        assert_eq!(offers("xl help conso"), ["console"]);
        assert_eq!(offers("xl destroy "), ["Domain-0", "web", "mail"]);
        assert_eq!(offers("xl console m"), ["mail"]);
        assert_eq!(offers("xl create --q"), ["--quiet"]);
        assert_eq!(offers("xl trigger web res"), ["reset"]);
        assert_eq!(offers("xl supervise --l"), [""; 0], "what is for processes is not offered");
    }

    #[test]
    fn files_are_offered_where_one_is_wanted() {
        let folder = TemporaryFolder::new("completion");
        let file = folder.path().join("web.cfg").display().to_string();
        std::fs::write(&file, "").unwrap();
        let start = &file[..file.len() - 4];
        assert_eq!(offers(&format!("xl create {start}")), [file.as_str()]);
        assert_eq!(offers(&format!("xl destroy {start}")), [""; 0]);
    }
}
