//! Faults are in the image that injects them and in no other.
//!
//! Of what is built: by the symbols of each image, and by its debug information, which names what was
//! inlined too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lazy_mmu_tests::found::{self, FAULT_IMAGE};
use lazy_mmu_tools::places;
use object::{Object, ObjectSection, ObjectSymbol};

/// As it is in the name of everything from the crate.
const CRATE: &str = "lazy_mmu_faults";

/// The symbols of an image with the crate's name in them, and whether its debug information has it.
fn traces(image: &Path) -> (Vec<String>, bool) {
    let shown = image.display();
    let data = fs::read(image).unwrap_or_else(|error| panic!("{shown}: {error}: `make build`"));
    let elf = object::File::parse(&*data).unwrap_or_else(|error| panic!("{shown}: {error}"));
    let names = elf.symbols().filter_map(|symbol| symbol.name().ok());
    let named = names.filter(|name| name.contains(CRATE));
    let symbols = named.map(str::to_owned).collect();
    let strings = elf
        .section_by_name(".debug_str")
        .unwrap_or_else(|| panic!("{shown} has no debug information to look at"));
    let strings = strings
        .data()
        .unwrap_or_else(|error| panic!("{shown}: .debug_str: {error}"));
    let inlined = strings
        .windows(CRATE.len())
        .any(|word| word == CRATE.as_bytes());
    (symbols, inlined)
}

/// Every image that some test boots.
fn images() -> BTreeSet<PathBuf> {
    let tests = found::all(&places::repository().join("tests"));
    let cases = tests.into_iter().filter_map(|test| test.case.ok());
    cases.map(|case| case.boot.kernel).collect()
}

#[test]
fn no_image_but_one_has_faults() {
    let (with, without): (Vec<_>, Vec<_>) = images()
        .into_iter()
        .partition(|image| image.ends_with(FAULT_IMAGE));
    assert!(without.contains(&places::kernel("lazy-mmu-kernel")));
    for image in without {
        let (symbols, inlined) = traces(&image);
        assert!(
            symbols.is_empty() && !inlined,
            "{} has faults to inject: {symbols:#?}",
            image.display()
        );
    }
    // Or nothing above could fail.
    let [image] = &*with else {
        panic!("one image has faults: {with:?}");
    };
    let (symbols, inlined) = traces(image);
    assert!(!symbols.is_empty() && inlined);
}
