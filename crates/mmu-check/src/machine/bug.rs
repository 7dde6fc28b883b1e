//! Injected bugs: in each, exactly one thing is wrong.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::rules::Rule;

/// A place in the arch layer where exactly one barrier or one kind of TLBI is executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Site {
    /// `dsb ishst` of the pair that publishes.
    PublishDsb,
    /// `isb` of the pair.
    PublishIsb,
    /// `dmb ishst` between a table's zeroes and its link.
    LinkDmb,
    /// `dsb ishst` before an invalidation.
    DsbBeforeTlbi,
    /// The invalidation.
    Tlbi,
    /// `dsb ish` after it.
    DsbAfterTlbi,
    /// `isb` after that.
    IsbAfterTlbi,
    /// `dsb ish` of the switch.
    SwitchDsb,
    /// `isb` of the switch, where a task goes on that ran on another core.
    ArriveIsb,
    /// `dsb ishst` before a root goes into TTBR0.
    RootDsb,
    /// `isb` after TTBR0 was written.
    Ttbr0Isb,
}

impl Site {
    /// All of them.
    pub const ALL: [Site; 11] = [
        Site::PublishDsb,
        Site::PublishIsb,
        Site::LinkDmb,
        Site::DsbBeforeTlbi,
        Site::Tlbi,
        Site::DsbAfterTlbi,
        Site::IsbAfterTlbi,
        Site::SwitchDsb,
        Site::ArriveIsb,
        Site::RootDsb,
        Site::Ttbr0Isb,
    ];

    /// The rules that miss it.
    const fn rules(self) -> &'static [Rule] {
        match self {
            Site::PublishDsb | Site::PublishIsb => &[Rule::Publish, Rule::Leftover],
            Site::LinkDmb | Site::RootDsb => &[Rule::Zeroes],
            Site::DsbBeforeTlbi => &[Rule::Early],
            Site::Tlbi | Site::DsbAfterTlbi | Site::IsbAfterTlbi => &[Rule::Done],
            // Zeroed here, linked there: the DMB of the other core orders nothing of this one.
            Site::SwitchDsb => &[Rule::Leftover, Rule::Zeroes],
            Site::ArriveIsb | Site::Ttbr0Isb => &[Rule::Publish],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Site::PublishDsb => "dsb ishst of publish",
            Site::PublishIsb => "isb of publish",
            Site::LinkDmb => "dmb ishst of link",
            Site::DsbBeforeTlbi => "dsb ishst before tlbi",
            Site::Tlbi => "tlbi",
            Site::DsbAfterTlbi => "dsb ish after tlbi",
            Site::IsbAfterTlbi => "isb after tlbi",
            Site::SwitchDsb => "dsb ish of switch",
            Site::ArriveIsb => "isb of switch",
            Site::RootDsb => "dsb ishst before ttbr0",
            Site::Ttbr0Isb => "isb after ttbr0",
        }
    }
}

/// Declares [`Bug`] and the list of its bugs that have no site from one list.
macro_rules! bugs {
    ($($(#[$what:meta])* $name:ident,)*) => {
        /// One thing that is wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Bug {
            /// The primitive is not there.
            Omitted(Site),
            /// The primitive records its event and does not execute.
            RecordedOnly(Site),
            /// The primitive executes and records nothing.
            ExecutedOnly(Site),
            $($(#[$what])* $name,)*
        }

        /// Those without a site, in the order of the matrix.
        const WITHOUT_SITE: &[Bug] = &[$(Bug::$name,)*];
    };
}

bugs! {
    /// The pair as `isb; dsb ishst`.
    PublishReversed,
    /// The pair as `dsb ishld; isb`.
    PublishForLoads,
    /// A new table is linked as it was allocated.
    LinkUnzeroed,
    /// The second DSB as `dsb ishst`.
    DsbAfterForStores,
    /// The second DSB as `dsb nsh`.
    DsbAfterLocal,
    /// TLBIs without `IS`.
    TlbiLocal,
    /// TLBI first, store second.
    TlbiBeforeStore,
    /// Last-level TLBIs where a table was unlinked.
    TlbiLeafForTables,
    /// A TTL that is not the leaf's.
    TlbiWrongHint,
    /// Range operations one unit short, or the last page left out.
    TlbiShort,
    /// Frames go back before the invalidation.
    FramesFreedEarly,
    /// Tables go back before the invalidation.
    TablesFreedEarly,
    /// A space ends without invalidating its ASID.
    AsidNotFlushed,
    /// A live page is replaced by another in place.
    ReplacedInPlace,
    /// Another core changes a descriptor between the owner's look at it and the owner's store.
    ChangedByAnother,
    /// A page that was just unmapped is mapped anew before its invalidation.
    RemappedEarly,
    /// A mapping is used inside the section that made it.
    UsedWhilePending,
    /// A store that must be immediate is deferred with the others.
    ImmediateDeferred,
    /// The end of an inner section pays nothing.
    InnerExitPaysNothing,
    /// No end of a section pays.
    ExitPaysNothing,
    /// A pause pays nothing.
    PausePaysNothing,
    /// A page-fault handler maps the page inside the task's section, and returns with the pair pending.
    FaultHandlerDefers,
    /// A store in an interrupt handler is deferred like the task's.
    IrqDefers,
    /// An invalidation takes the pending flag behind its barriers.
    SettledLate,
    /// A gather that has nothing to invalidate takes the pending flag.
    SettledByNothing,
    /// An interrupt handler takes the task's pending flag and does not pay.
    IrqTakesDebt,
    /// A section opened in a handler stays open in the task.
    IrqUnbalances,
    /// The pending flag stays on the core that the task leaves.
    DebtStaysOnCore,
    /// The switch clears the pending flag of the task it switches to.
    SwitchClearsNextTask,
    /// A section is left open when its task ends.
    SectionLeaked,
    /// A spurious fault is taken for a real one.
    NoRetry,
    /// page_table_multiarch 0.6.2: `vmalle1`, and no DSB before it.
    PeerLocalFlush,
    /// aarch64-paging before 0.12.3: the shifted address is not masked.
    PeerUnmasked,
    /// aarch64-paging before 0.12.3: by address and ASID 0, where entries have another.
    PeerAsidZero,
    /// aarch64-paging before 0.12.3, `map_range`: a subtable removed with all that it maps, its
    /// first address invalidated.
    PeerSubtableFirst,
    /// aarch64-paging before 0.12.3, `compact_subtables`: an empty subtable removed, nothing
    /// invalidated.
    PeerSubtableNone,
    /// hermit: nothing after a fresh mapping.
    PeerMapSilent,
    /// Theseus: TLBIs and no DSB on either side.
    PeerNoDsb,
}

/// What a column of the matrix should say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    /// The rules that see it, each in some schedule first. Empty: none does.
    pub rules: Vec<Rule>,
    /// Whether the adversarial machine shows wrong data or a wrong fault.
    pub machine: bool,
    /// Whether QEMU shows it: to be shown by the kernel's tests.
    pub qemu: bool,
    /// Whether the plugin's counts differ from the kernel's: to be shown by the kernel's tests.
    pub plugin: bool,
}

impl Bug {
    /// All of them, in the order of the matrix.
    pub fn all() -> Vec<Bug> {
        use Bug::*;
        let mut all = Vec::new();
        all.extend(Site::ALL.map(Omitted));
        all.extend(Site::ALL.map(RecordedOnly));
        all.extend(Site::ALL.map(ExecutedOnly));
        all.extend(WITHOUT_SITE);
        all
    }

    /// Its name in the matrix.
    pub fn name(self) -> String {
        match self {
            Bug::Omitted(site) => format!("omitted: {}", site.name()),
            Bug::RecordedOnly(site) => format!("recorded, not executed: {}", site.name()),
            Bug::ExecutedOnly(site) => format!("executed, not recorded: {}", site.name()),
            other => {
                let mut name = String::new();
                for letter in format!("{other:?}").chars() {
                    if letter.is_uppercase() && !name.is_empty() {
                        name.push(' ');
                    }
                    name.extend(letter.to_lowercase());
                }
                name
            }
        }
    }

    /// Who should see it.
    ///
    /// Columns for QEMU and the plugin are what the kernel's own tests have to show. QEMU keeps
    /// translations until a TLBI, has no store buffer, no walk cache, no level hints, and compares
    /// no ASID (it drops all when TTBR0's changes). The plugin sees where what executed is not what
    /// was recorded.
    pub fn expected(self) -> Expected {
        use Rule::*;
        let published: &[Rule] = &[Publish, Leftover];
        let (rules, machine, qemu) = match self {
            Bug::Omitted(site) => (site.rules(), true, site == Site::Tlbi),
            Bug::RecordedOnly(site) => (&[][..], true, site == Site::Tlbi),
            Bug::ExecutedOnly(site) => (site.rules(), false, false),
            Bug::PublishReversed | Bug::PublishForLoads | Bug::PeerMapSilent => {
                (published, true, false)
            }
            Bug::LinkUnzeroed => (&[Zeroes][..], true, true),
            Bug::DsbAfterForStores | Bug::DsbAfterLocal | Bug::AsidNotFlushed => {
                (&[Done][..], true, false)
            }
            Bug::TlbiLocal => (&[Broadcast][..], true, true),
            Bug::TlbiBeforeStore => (&[Early][..], true, false),
            Bug::TlbiLeafForTables => (&[TableReuse][..], true, false),
            Bug::TlbiWrongHint | Bug::PeerUnmasked => (&[Operand][..], true, false),
            Bug::TlbiShort => (&[Done][..], true, true),
            Bug::FramesFreedEarly => (&[FrameReuse][..], true, true),
            Bug::TablesFreedEarly | Bug::PeerSubtableNone => (&[TableReuse][..], true, false),
            Bug::ReplacedInPlace | Bug::RemappedEarly => (&[BreakBeforeMake][..], true, false),
            Bug::UsedWhilePending
            | Bug::ImmediateDeferred
            | Bug::FaultHandlerDefers
            | Bug::NoRetry => (&[Publish][..], true, false),
            Bug::InnerExitPaysNothing
            | Bug::ExitPaysNothing
            | Bug::PausePaysNothing
            | Bug::SettledLate
            | Bug::SettledByNothing
            | Bug::IrqTakesDebt
            | Bug::DebtStaysOnCore
            | Bug::SwitchClearsNextTask => (&[Leftover][..], true, false),
            Bug::IrqDefers => (published, true, false),
            Bug::IrqUnbalances => (&[Publish][..], true, false),
            Bug::ChangedByAnother => (&[Ownership][..], true, false),
            // Nobody uses what the ended task has mapped.
            Bug::SectionLeaked => (&[Leftover][..], false, false),
            Bug::PeerLocalFlush => (&[Broadcast, Early][..], true, true),
            Bug::PeerAsidZero => (&[Done][..], true, false),
            Bug::PeerSubtableFirst => (&[Done][..], true, true),
            Bug::PeerNoDsb => (&[Done, Early][..], true, false),
        };
        Expected {
            rules: rules.to_vec(),
            machine,
            qemu,
            plugin: matches!(self, Bug::RecordedOnly(_) | Bug::ExecutedOnly(_)),
        }
    }

    /// What it stands for: a hazard, or a peer that had it.
    pub const fn stands_for(self) -> &'static str {
        match self {
            Bug::Omitted(Site::PublishIsb) => "H13",
            Bug::Omitted(Site::SwitchDsb | Site::ArriveIsb) | Bug::DebtStaysOnCore => "H7",
            Bug::Omitted(Site::DsbBeforeTlbi | Site::RootDsb)
            | Bug::PeerUnmasked
            | Bug::PeerAsidZero
            | Bug::PeerSubtableFirst
            | Bug::PeerSubtableNone => "aarch64-paging",
            Bug::InnerExitPaysNothing => "H1 H3",
            Bug::PausePaysNothing => "H2",
            Bug::IrqDefers | Bug::IrqTakesDebt => "H4",
            Bug::SwitchClearsNextTask => "H6 H19",
            Bug::SectionLeaked => "H10",
            Bug::TlbiBeforeStore => "H11",
            Bug::UsedWhilePending => "H12",
            Bug::NoRetry => "H14",
            Bug::ImmediateDeferred => "H15",
            Bug::ReplacedInPlace => "H16 page_table_multiarch",
            Bug::RemappedEarly => "H16",
            Bug::TlbiLeafForTables => "H17",
            Bug::IrqUnbalances => "H18",
            Bug::PeerLocalFlush => "page_table_multiarch",
            Bug::PeerMapSilent => "hermit",
            Bug::PeerNoDsb => "Theseus",
            _ => "",
        }
    }
}

/// Hazards that are no lost barrier, and who has them.
pub const NOT_HERE: [(&str, &str); 4] = [
    (
        "H5",
        "preemption between counter change and hook: the switch's DSB and the exception return pay whatever is owed, so what can be lost is \
         state, which lazy-mmu's own model check covers; the correct kernel is moved at every primitive here",
    ),
    (
        "H8",
        "sleeping inside a section: the debt goes along with the task; that Linux 7.0 forbids it to generic code is for the kernel to report",
    ),
    (
        "H9",
        "a lock taken in interrupt context: the allocator's, tested in the kernel",
    ),
    (
        "H20",
        "the break-even of a section around one entry: a measurement",
    ),
];
