//! Links lead somewhere.

use super::pages::{self, Page, Piece};

/// What the links of a page's prose name.
fn links(page: &Page) -> Vec<String> {
    let link = regex::Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let prose = page.pieces.iter().filter_map(|piece| match piece {
        Piece::Prose(text) | Piece::Heading { text, .. } => Some(text),
        Piece::Block(_) | Piece::Comment(_) => None,
    });
    prose
        .flat_map(|text| {
            let found = link.captures_iter(text).map(|found| found[1].to_owned());
            found.collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_link_between_pages_leads_to_a_file_and_a_heading() {
    let all = pages::all();
    for page in &all {
        for link in links(page) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let path = if file.is_empty() {
                pages::root().join(&page.name)
            } else {
                page.folder().join(file)
            };
            let path = path.canonicalize();
            let path = path.unwrap_or_else(|error| panic!("{}: {link}: {error}", page.name));
            if heading.is_empty() {
                continue;
            }
            let other = all
                .iter()
                .find(|other| pages::root().join(&other.name).canonicalize().unwrap() == path);
            let other = other.unwrap_or_else(|| panic!("{}: {link}: no page", page.name));
            assert!(
                other.anchors().iter().any(|anchor| anchor == heading),
                "{}: {link}: no such heading in {}",
                page.name,
                other.name
            );
        }
    }
}

#[test]
fn every_page_is_in_the_index() {
    let index = Page::read("docs/README.md");
    let named = links(&index);
    for page in pages::all() {
        let file = page.name.trim_start_matches("docs/");
        if file != "README.md" {
            assert!(named.iter().any(|link| link == file), "{}", page.name);
        }
    }
    let readme = links(&Page::read("README.md"));
    assert!(readme.iter().any(|link| link == "docs/README.md"));
}

#[test]
fn headings_of_a_page_have_names_of_their_own() {
    for page in pages::all() {
        let mut anchors = page.anchors();
        anchors.sort();
        for pair in anchors.windows(2) {
            assert_ne!(pair[0], pair[1], "{}", page.name);
        }
    }
}
