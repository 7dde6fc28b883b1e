//! What safe code can do to the kernel's page tables is a matter of types (docs/how-it-works.md, "Who may store where"). Of that,
//! what can be seen in the text: which public functions are `unsafe`, and that spaces do not leave `kernel/src/mem`.

use std::collections::BTreeSet;
use std::fs;

use lazy_mmu_tests::sources::{code, kernel};
use lazy_mmu_tools::places;

/// What must not be called by anybody but the kernel itself: it needs masked interrupts, or gives away what has no type.
const PRIVATE: &[(&str, &str)] = &[
    ("sched/mod.rs", "preempt"),
    ("sched/mod.rs", "tick"),
    ("sched/mod.rs", "idle"),
    ("mem/ttbr0.rs", "install"),
    ("mem/mod.rs", "kernel_space"),
    ("arch/registers.rs", "mask_interrupts"),
    ("arch/registers.rs", "unmask_interrupts"),
    ("arch/registers.rs", "restore_interrupts"),
    ("traps/mod.rs", "set_breakpoint_work"),
    ("irq/mod.rs", "set_tick_work"),
    ("irq/mod.rs", "init"),
    ("machine/gic/mod.rs", "init"),
    ("machine/psci.rs", "start_core"),
];

/// The name of the function that a line begins to declare for everybody, and whether it is `unsafe`.
fn public(line: &str) -> Option<(&str, bool)> {
    let (qualifiers, name) = line.strip_prefix("pub ")?.split_once("fn ")?;
    let known = |word| matches!(word, "unsafe" | "const" | "async" | "extern" | "\"C\"");
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    let words: Vec<_> = qualifiers.split_whitespace().collect();
    words
        .iter()
        .all(|word| known(word))
        .then(|| (&name[..end], words.contains(&"unsafe")))
}

#[test]
fn unsafe_doors_are_those_of_the_page() {
    let page = fs::read_to_string(places::repository().join("docs/how-it-works.md"));
    let page = page.expect("docs/how-it-works.md");
    let table = page.split("| function | opens | for |").nth(1);
    let rows = table.expect("the table of doors").lines().skip(2);
    let listed: BTreeSet<&str> = rows
        .map_while(|row| row.strip_prefix("| `")?.split_once('`'))
        .map(|(path, _)| path.rsplit("::").next().unwrap_or(path))
        .collect();
    let sources = kernel();
    let there: BTreeSet<&str> = sources
        .iter()
        .flat_map(|(_, text)| code(text))
        .filter_map(public)
        .filter_map(|(name, is_unsafe)| is_unsafe.then_some(name))
        .collect();
    assert_eq!(listed, there, "docs/how-it-works.md (left) and the sources");
    assert!(there.contains("upper_half"), "the scan finds nothing");
}

/// Whether a space, or that of which one is made, is named.
fn names_space(code: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| word == "Space" || word == "Hardware")
}

#[test]
fn spaces_do_not_leave_mem() {
    let mut seen = 0;
    for (path, text) in kernel() {
        let lines: Vec<_> = code(&text).collect();
        for (index, line) in lines.iter().enumerate() {
            let named = names_space(line);
            seen += u32::from(named);
            let inside = path.starts_with("mem");
            assert!(!named || inside, "{}: {line}", path.display());
            // A declaration may take several lines.
            let rest = lines[index..].join(" ");
            let head = rest.split(['{', ';']).next().unwrap_or("");
            let given = public(line).is_some() && names_space(head);
            assert!(!given, "{} gives one away: {head}", path.display());
        }
    }
    assert!(seen > 0, "the scan finds nothing");
}

#[test]
fn what_only_the_kernel_may_do_is_not_public() {
    for (file, name) in PRIVATE {
        let path = places::repository().join("kernel/src").join(file);
        let text = fs::read_to_string(&path).expect("a file of the list");
        let declared = format!("fn {name}(");
        let is_there = code(&text).any(|line| line.contains(&declared));
        assert!(
            is_there,
            "{file} has no {name} any more: take it off the list"
        );
        let is_public = code(&text)
            .filter_map(public)
            .any(|(public, _)| public == *name);
        assert!(!is_public, "{file}: {name} is public");
    }
}

/// The scan sees what it must, or the tests above could not fail.
#[test]
fn declarations_are_found() {
    assert_eq!(public("pub fn f() {"), Some(("f", false)));
    assert_eq!(public("pub unsafe fn f<T>("), Some(("f", true)));
    assert_eq!(public("pub const unsafe fn f("), Some(("f", true)));
    assert_eq!(public("pub unsafe extern \"C\" fn f("), Some(("f", true)));
    assert_eq!(public("pub(crate) unsafe fn f("), None);
    assert_eq!(public("unsafe fn f("), None);
    assert_eq!(public("pub work: fn(u8),"), None);
}
