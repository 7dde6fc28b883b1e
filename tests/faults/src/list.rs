//! The faults.

/// Declares the faults, their names and who must notice from one list.
macro_rules! faults {
    ($($name:literal $fault:ident: $what:literal, $seen:literal;)*) => {
        /// One thing that is done wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Fault {
            /// Nothing is.
            None,
            $(#[doc = $what] $fault,)*
        }

        /// All faults, in the order of the enumeration.
        pub const NAMES: &[Entry] = &[$(Entry {
            name: $name,
            fault: Fault::$fault,
            what: $what,
            seen: $seen,
        },)*];
    };
}

/// A fault, in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name on the command line: `fault=`.
    pub name: &'static str,
    /// The fault.
    pub fault: Fault,
    /// What is done wrong.
    pub what: &'static str,
    /// Who must notice. `R1` to `R11` are the rules of `mmu-check` (`check=on`); QEMU shows a stale
    /// translation that is used; the witness counts what was executed; the replay says how many pairs
    /// the calls owe; the workload checks its own data. `tests/faults.boots` has a boot for each.
    pub seen: &'static str,
}

/// The fault of this name.
pub fn by_name(name: &str) -> Option<Fault> {
    let entry = NAMES.iter().find(|entry| entry.name == name)?;
    Some(entry.fault)
}

faults! {
    // The pair.
    "publish-no-dsb" PublishNoDsb: "the pair is made without its DSB", "R8";
    "publish-no-isb" PublishNoIsb: "the pair is made without its ISB", "R8";
    "publish-swapped" PublishSwapped: "the pair's ISB comes before its DSB", "R8";
    "pair-unasked" PairUnasked: "every pair is made twice", "replay";

    // Tables and roots.
    "link-no-zero" LinkNoZero: "a new table is linked with what its frame held", "R10, workload";
    "link-no-dmb" LinkNoDmb: "a new table is linked without the DMB behind its zeroes", "R10";
    "root-unpublished" RootUnpublished: "TTBR0 is written without the DSB behind the root's stores", "R10";
    "ttbr0-no-isb" Ttbr0NoIsb: "TTBR0 is written without the ISB behind it", "R1";

    // Invalidations.
    "tlbi-none" TlbiNone: "no TLBI is executed", "R3, QEMU";
    "tlbi-leaf-only" TlbiLeafOnly: "a TLBI of all levels is of the last level alone", "R5";
    "tlbi-short" TlbiShort: "a TLBI of several pages leaves out the last", "R3, QEMU without FEAT_TLBIRANGE";
    "tlbi-local" TlbiLocal: "the TLBI is vmalle1, for this core alone", "R7, QEMU on two cores";
    "tlbi-first" TlbiFirst: "the TLBI comes before the DSB behind the stores", "R9";
    "tlbi-no-dsb-before" TlbiNoDsbBefore: "no DSB between the stores and the TLBI", "R9";
    "tlbi-no-dsb-after" TlbiNoDsbAfter: "no DSB after the TLBI", "R4";
    "tlbi-no-isb" TlbiNoIsb: "no ISB after the TLBI", "R3, R4";

    // Frames.
    "free-before-invalidation" FreeBeforeInvalidation: "an invalidation is called done and made later, when frames have been freed on the strength of it", "R4, QEMU without FEAT_TLBIRANGE";
    "free-still-mapped" FreeStillMapped: "a frame is freed without leaving the linear map", "the debug page allocator";
    "frame-lost" FrameLost: "a frame is taken and not given back", "workload";
    "frame-overwritten" FrameOverwritten: "a frame is written to that somebody else has", "workload";
    "wrong-frame" WrongFrame: "a page of the vmap area is mapped to its neighbour's frame", "workload";
    "no-frame" NoFrame: "the allocation of a frame for a table fails", "workload";

    "alloc-fails" AllocFails: "the n-th allocation of a frame fails, for every n one after the other", "the workload by an error each";

    // The switch, and interrupts.
    "switch-no-dsb" SwitchNoDsb: "a task leaves its core without a DSB", "R8 on two cores";
    "switch-no-isb" SwitchNoIsb: "a task arrives on a core without an ISB", "R1 on two cores";
    "state-per-core" StatePerCore: "the mode and its pending flag belong to the core: a task leaves them to the next", "R1, workload on two cores";
    "switch-hook-on-current" SwitchHookOnCurrent: "the switch pauses the mode of a task that neither leaves nor comes", "workload";
    "second-enter-ignored" SecondEnterIgnored: "the mode belongs to who enters first on a core: until that one leaves, nobody else's exit pays", "R1, R8";
    "ack-no-barrier" AckNoBarrier: "an interrupt is acknowledged without the DMB or DSB behind it", "workload";
    "ack-no-isb" AckNoIsb: "an interrupt is acknowledged without the ISB behind it", "workload";
    "send-no-isb" SendNoIsb: "a GICv3 is made to interrupt other cores without the ISB behind it", "workload";
    "idle-no-isb" IdleNoIsb: "an idle core masks interrupts again without an ISB", "workload";
    "preemptions-lost" PreemptionsLost: "preemptions inside sections are not counted", "workload, with more tasks than cores";

    // The mode.
    "owe-lost" OweLost: "the mode forgets that a store of a valid descriptor owes", "R8, replay";
    "inner-exit-pays-nothing" InnerExitPaysNothing: "an inner section's end pays nothing", "R8, replay";
    "settled-late" SettledLate: "an invalidation takes the pending flag behind its barriers", "R8";
    "settled-not" SettledNot: "the pending flag stays when an invalidation has paid", "replay";
    "flag-stays" FlagStays: "the pending flag stays when it is paid inside a section", "replay, workload";
    "other-calls" OtherCalls: "under flat, one more section for every pair", "replay";
    "hook-wrong" HookWrong: "another arch hook runs than the contract says", "workload";

    // Events that say more than was done, and counts that say less.
    "tlbi-only-recorded" TlbiOnlyRecorded: "TLBIs are observed and not executed", "QEMU";
    "dsb-only-recorded" DsbOnlyRecorded: "`dsb ishst` is observed and not executed", "witness";
    "dsb-ishst-as-nsh" DsbIshstAsNsh: "`dsb nsh` is executed where `dsb ishst` is observed", "witness";
    "dsb-ish-as-ishst" DsbIshAsIshst: "`dsb ishst` is executed after a TLBI where `dsb ish` is observed", "witness";
    "switch-dsb-as-nsh" SwitchDsbAsNsh: "`dsb nsh` is executed at a switch where `dsb ish` is observed", "witness";
    "dmb-ishst-as-ishld" DmbIshstAsIshld: "`dmb ishld` is executed where `dmb ishst` is observed", "witness";
    "tlbi-as-local" TlbiAsLocal: "a local TLBI is executed where one for all cores is observed", "witness";
    "tlbi-as-other" TlbiAsOther: "a TLBI of the last level is executed where one of all levels is observed, and the other way round", "witness";
    "dsb-not-counted" DsbNotCounted: "DSBs are executed and not observed", "witness";
    "isb-not-counted" IsbNotCounted: "ISBs are executed and not observed", "witness";
    "dmb-not-counted" DmbNotCounted: "DMBs are executed and not observed", "witness";
    "tlbi-not-counted" TlbiNotCounted: "TLBIs are executed and not observed", "witness";
}
