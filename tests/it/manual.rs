//! The man pages in docs/man say what the help says: one for the program and one for each of its commands, made from clap's
//! definitions. After a change of these, `RIOT_WRITE_MANUAL=1 cargo test --profile checked --test it manual` writes them again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/man")
}

/// Each page's text by its file name.
fn pages() -> BTreeMap<String, String> {
    let mut program = riot::cli::command();
    program.build();
    let commands = program.get_subcommands().filter(|one| !one.is_hide_set());
    let pages: Vec<_> = commands.chain([&program]).cloned().collect();
    let mut names: Vec<String> = pages.iter().map(name).collect();
    names.sort();
    pages
        .iter()
        .map(|command| (format!("{}.1", name(command)), page(command, &names)))
        .collect()
}

/// `riot`, `riot-replicate`.
fn name(command: &clap::Command) -> String {
    let name = command.get_display_name();
    name.unwrap_or(command.get_name()).to_owned()
}

fn page(command: &clap::Command, names: &[String]) -> String {
    let name = name(command);
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render_name_section(&mut text).unwrap();
    man.render_synopsis_section(&mut text).unwrap();
    man.render_description_section(&mut text).unwrap();
    if command.get_subcommands().any(|one| !one.is_hide_set()) {
        man.render_subcommands_section(&mut text).unwrap();
    }
    man.render_options_section(&mut text).unwrap();
    let mut roff = Roff::new();
    notes(&mut roff, command);
    see_also(&mut roff, names.iter().filter(|other| **other != name));
    roff.to_writer(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    // Each part begins with the same definition of an apostrophe, which is wanted once.
    let (definition, _) = text.split_once(".SH").unwrap();
    // There is no date: it would be another at each build.
    let title = format!(
        ".TH {} 1 \"\" \"riot {}\" \"riot\"\n",
        name.to_uppercase().replace('-', "\\-"),
        env!("CARGO_PKG_VERSION")
    );
    format!("{definition}{title}{}", text.replace(definition, ""))
}

/// What follows the options in the help: paragraphs, of which those that begin with `Examples:` or `Exit status:` become
/// sections of that name, and indented lines stay as they are.
fn notes(roff: &mut Roff, command: &clap::Command) {
    let Some(notes) = command.get_after_help() else {
        return;
    };
    let notes = notes.to_string();
    let (with_heading, without): (Vec<_>, Vec<_>) = notes
        .split("\n\n")
        .map(|paragraph| (heading(paragraph), paragraph))
        .partition(|(heading, _)| heading.is_some());
    if !without.is_empty() {
        roff.control("SH", ["NOTES"]);
    }
    for (number, (_, paragraph)) in without.into_iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        lines(roff, paragraph);
    }
    for (heading, rest) in with_heading.into_iter().filter_map(|(heading, _)| heading) {
        roff.control("SH", [heading.to_uppercase().as_str()]);
        lines(roff, rest);
    }
}

/// `Exit status: 0 done` is a heading and its text.
fn heading(paragraph: &str) -> Option<(&str, &str)> {
    let (heading, text) = paragraph.split_once(':')?;
    let plain = heading.split(' ').count() <= 3
        && heading.starts_with(|c: char| c.is_ascii_uppercase())
        && heading.chars().all(|c| c.is_ascii_alphabetic() || c == ' ');
    plain.then_some((heading, text.trim_matches(['\n'])))
}

fn lines(roff: &mut Roff, paragraph: &str) {
    let mut verbatim = false;
    for line in paragraph.lines() {
        let indented = line.starts_with("  ");
        if indented != verbatim {
            roff.control(if indented { "nf" } else { "fi" }, []);
            verbatim = indented;
        }
        let line = line.trim();
        roff.text([roman(line)]);
    }
    if verbatim {
        roff.control("fi", []);
    }
}

fn see_also<'a>(roff: &mut Roff, names: impl Iterator<Item = &'a String>) {
    roff.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for name in names {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(name.as_str()), roman("(1)")]);
    }
    roff.text(line);
}

#[test]
fn the_pages_are_those_of_this_command_line() {
    let made = pages();
    let folder = folder();
    if std::env::var_os("RIOT_WRITE_MANUAL").is_some() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        for (file, text) in &made {
            std::fs::write(folder.join(file), text).unwrap();
        }
    }
    let found: BTreeMap<String, String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            (file, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    let stale: Vec<&String> = made
        .keys()
        .chain(found.keys())
        .filter(|file| made.get(*file) != found.get(*file))
        .collect();
    assert!(
        stale.is_empty(),
        "docs/man is not what the command line is now: {stale:?}. To write it again:\n\
         RIOT_WRITE_MANUAL=1 cargo test --profile checked --test it manual"
    );
}

#[test]
fn every_command_and_option_of_the_help_has_its_place() {
    let made = pages();
    let mut program = riot::cli::command();
    program.build();
    for command in program.get_subcommands().filter(|one| !one.is_hide_set()) {
        let page = &made[&format!("{}.1", name(command))];
        for option in command.get_opts().filter(|one| !one.is_hide_set()) {
            let long = option.get_long().unwrap().replace('-', "\\-");
            assert!(page.contains(&format!("\\-\\-{long}\\fR")), "{long}");
        }
        assert!(made["riot.1"].contains(&name(command).replace('-', "\\-")));
    }
}
