//! Picks Debian's own archives out of a machine's apt sources, in either of apt's two file formats
//! (sources.list(5)), and writes them in the newer one without any limit to an architecture.

/// The Debian archives in a deb822 file, as deb822 text.
pub fn from_deb822(text: &str, codename: &str) -> String {
    text.split("\n\n").filter_map(|stanza| stanza_for(stanza, codename)).collect()
}

/// The Debian archives in a one-line-style file, as deb822 text.
pub fn from_one_line(text: &str, codename: &str) -> String {
    text.lines().filter_map(|line| entry_for(line, codename)).collect()
}

/// The backports beside the archives in `text`, which one of the functions above wrote.
pub fn of_backports(text: &str, codename: &str) -> String {
    text.split_inclusive("\n\n")
        .filter_map(|stanza| {
            let suites = stanza.lines().find(|line| line.starts_with("Suites: "))?;
            suites.split_whitespace().find(|suite| *suite == codename)?;
            Some(stanza.replace(suites, &format!("Suites: {codename}-backports")))
        })
        .collect()
}

fn stanza_for(stanza: &str, codename: &str) -> Option<String> {
    let field = |name: &str| {
        stanza.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    };
    if field("Enabled").is_some_and(|value| value.eq_ignore_ascii_case("no")) {
        return None;
    }
    let types = field("Types")?;
    types.split_whitespace().find(|kind| *kind == "deb")?;
    deb822(
        field("URIs")?,
        field("Suites")?,
        field("Components")?,
        field("Signed-By").filter(|key| !key.is_empty()),
        codename,
    )
}

fn entry_for(line: &str, codename: &str) -> Option<String> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let components = words.collect::<Vec<_>>().join(" ");
    deb822(uri, suite, &components, signed_by, codename)
}

fn deb822(
    uris: &str,
    suites: &str,
    components: &str,
    signed_by: Option<&str>,
    codename: &str,
) -> Option<String> {
    let suites: Vec<_> = suites.split_whitespace().filter(|suite| is_of_release(suite, codename)).collect();
    let has_main = components.split_whitespace().any(|component| component == "main");
    if suites.is_empty() || !has_main {
        return None;
    }
    let signed_by = signed_by.map(|path| format!("Signed-By: {path}\n")).unwrap_or_default();
    Some(format!("Types: deb\nURIs: {uris}\nSuites: {}\nComponents: main\n{signed_by}\n", suites.join(" ")))
}

fn is_of_release(suite: &str, codename: &str) -> bool {
    match suite.strip_prefix(codename) {
        Some(rest) => matches!(rest, "" | "-updates" | "-security" | "/updates"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{from_deb822, from_one_line, of_backports};

    #[test]
    fn deb822_keeps_debian_and_drops_strangers_and_backports() {
        let text = "Types: deb\nURIs: http://a.example/debian\nSuites: bookworm bookworm-updates bookworm-backports\n\
                    Components: main contrib\nArchitectures: amd64\n\n\
                    Types: deb\nURIs: http://b.example\nSuites: nodistro\nComponents: main\n";
        assert_eq!(
            from_deb822(text, "bookworm"),
            "Types: deb\nURIs: http://a.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n"
        );
    }

    #[test]
    fn backports_are_beside_the_release_itself() {
        let text = "Types: deb\nURIs: http://a.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n\
                    Types: deb\nURIs: http://a.example/security\nSuites: bookworm-security\nComponents: main\n\n";
        assert_eq!(
            of_backports(text, "bookworm"),
            "Types: deb\nURIs: http://a.example/debian\nSuites: bookworm-backports\nComponents: main\n\n"
        );
    }

    #[test]
    fn disabled_stanza_is_dropped() {
        let text = "Enabled: no\nTypes: deb\nURIs: http://a.example\nSuites: bookworm\nComponents: main\n";
        assert_eq!(from_deb822(text, "bookworm"), "");
    }

    #[test]
    fn one_line_entries_keep_their_key_and_lose_their_architecture() {
        let text = "# comment\ndeb [arch=amd64 signed-by=/k.gpg] http://a.example bookworm-security main\n\
                    deb-src http://a.example bookworm main\ndeb http://c.example bookworm stable\n";
        assert_eq!(
            from_one_line(text, "bookworm"),
            "Types: deb\nURIs: http://a.example\nSuites: bookworm-security\nComponents: main\nSigned-By: /k.gpg\n\n"
        );
    }
}
