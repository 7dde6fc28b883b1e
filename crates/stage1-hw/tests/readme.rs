//! The README's first mapping is the one of the crate's page, which is compiled and run.

#[test]
fn the_readme_shows_the_example_that_is_tested() {
    let page = include_str!("../src/lib.rs");
    let readme = include_str!("../README.md");
    let (_, page) = page.split_once("A first mapping:\n").expect("it is there");
    let shown = |line: &&str| *line != "#" && !line.starts_with("# ");
    let tested: Vec<&str> = page
        .lines()
        .map(|line| {
            line.trim_start_matches("//!")
                .strip_prefix(' ')
                .unwrap_or("")
        })
        .skip_while(|line| *line != "```")
        .skip(1)
        .take_while(|line| *line != "```")
        .filter(shown)
        .collect();
    let (_, readme) = readme.split_once("```rust\n").expect("it is there");
    let (readme, _) = readme.split_once("```").expect("it ends");
    assert_eq!(readme.lines().collect::<Vec<_>>(), tested);
    assert!((15..=24).contains(&tested.len()), "{} lines", tested.len());
}
