//! The reading path of `docs/reading.md` is as short as it says, and each step is found.

use std::fs;

use lazy_mmu_tools::places;

/// The most files, and the most lines in all of them.
const FILES: usize = 20;
const LINES: usize = 3500;

/// The words in `code` of a cell.
fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Whether `word` stands in `text`, and not only inside of a longer name.
fn has_word(text: &str, word: &str) -> bool {
    let of_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        !of_name(text[..at].chars().next_back()) && !of_name(text[at + word.len()..].chars().next())
    })
}

#[test]
fn a_part_of_a_name_is_no_word() {
    assert!(has_word("fn pay(&self)", "pay") && has_word("pay", "pay"));
    assert!(!has_word("fn pay_all(repay)", "pay"));
}

#[test]
fn the_path_is_short_and_every_step_is_there() {
    let root = places::repository();
    let page = fs::read_to_string(root.join("docs/reading.md")).expect("docs/reading.md");
    let (mut files, mut lines) = (0, 0);
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, number, file, what, _] = cells[..] else {
            panic!("a row of another shape: {row}");
        };
        let Ok(number) = number.parse::<usize>() else {
            continue;
        };
        files += 1;
        assert_eq!(number, files, "steps in order");
        let file = code(file).next().expect("a file's name");
        let text = fs::read_to_string(root.join(file))
            .unwrap_or_else(|error| panic!("step {number}, {file}: {error}"));
        lines += text.lines().count();
        let words: Vec<&str> = code(what).collect();
        assert!(!words.is_empty(), "step {number} says nothing to look for");
        for word in words {
            assert!(
                has_word(&text, word),
                "step {number}: {file} has no `{word}`"
            );
        }
    }
    println!("{files} files, {lines} lines");
    assert!(files > 10, "where is the path?");
    assert!(
        files <= FILES && lines <= LINES,
        "{files} files, {lines} lines"
    );
}
