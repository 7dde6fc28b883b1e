//! The page of the hazards, `docs/hazards.md`: the kernel says what it says, in its words.

const PAGE: &str = include_str!("../../../../docs/hazards.md");

/// What the page says of a hazard.
pub(super) struct Section {
    pub title: &'static str,
    /// What went wrong where: three lines.
    pub story: &'static str,
    pub must_hold: &'static str,
    /// Who can see it, of those who watch this kernel.
    pub seen_by: &'static str,
}

/// The section of a hazard. Nothing if it is not of the form that a test holds it to.
pub(super) fn section(number: u8) -> Option<Section> {
    let (_, from) = PAGE.split_once(alloc::format!("\n## H{number}: ").as_str())?;
    let section = from.split("\n## ").next()?;
    let (title, rest) = section.split_once("\n\n")?;
    let (story, rest) = rest.split_once("\n\n")?;
    let point = |name| {
        let (_, behind) = rest.split_once(name)?;
        behind.split(".\n").next()
    };
    Some(Section {
        title,
        story,
        must_hold: point("- **Must hold**: ")?,
        seen_by: point("- **Who can see it**: ")?,
    })
}
