//! The text of `OpenMetrics` in the form that it grew out of, which every scraper and `promtool` read.

/// The text format of Prometheus, version 0.0.4. There the metadata of a counter have its full name, and units and the end
/// are not told.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1024);
    // HELP stands before TYPE: a family's metadata are written when both are known.
    let mut help = "";
    for line in text.lines() {
        if line.starts_with("# HELP ") {
            help = line;
        } else if let Some(named) = line.strip_prefix("# TYPE ") {
            let (name, kind) = named.split_once(' ').unwrap_or((named, "untyped"));
            let suffix = if kind == "counter" { "_total" } else { "" };
            let words = help.strip_prefix("# HELP ").unwrap_or_default();
            let words = words.strip_prefix(name).unwrap_or_default();
            for part in [
                "# HELP ",
                name,
                suffix,
                words,
                "\n# TYPE ",
                name,
                suffix,
                " ",
                kind,
                "\n",
            ] {
                out.push_str(part);
            }
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_in_full() {
        let text = "# HELP a_bytes Bytes of a.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\na_bytes_total{x=\"y\"} 1\n\
                    # HELP b Level.\n# TYPE b gauge\nb 2.0\n# EOF\n";
        insta::assert_snapshot!(plain(text), @r#"
        # HELP a_bytes_total Bytes of a.
        # TYPE a_bytes_total counter
        a_bytes_total{x="y"} 1
        # HELP b Level.
        # TYPE b gauge
        b 2.0
        "#);
    }
}
