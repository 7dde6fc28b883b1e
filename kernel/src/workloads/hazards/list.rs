//! The twenty hazards: what went wrong where, and what must hold here.
//!
//! `docs/hazards.md` has the same words, which a test compares.

use super::scene::Scene;
use super::{cores, cost, interrupts, nesting, order, switches, tables};
use crate::workloads::Failure;

/// A hazard: something that went wrong in Linux, or that a review feared.
pub(super) struct Hazard {
    pub title: &'static str,
    /// What went wrong, and where: three lines.
    pub story: [&'static str; 3],
    pub must_hold: &'static str,
    /// Who can see it, of those who watch this kernel; `machine` is `mmu-check`'s on the host.
    pub seen_by: &'static str,
    /// How many cores it takes.
    pub cores: usize,
    pub run: fn(&mut Scene) -> Result<(), Failure>,
}

/// By number, from 1.
pub(super) const HAZARDS: [Hazard; 20] = [
    Hazard {
        title: "the allocator re-enters inside a zap",
        story: [
            "Linux 1ef3095b1405 (arm64, 6.16): with DEBUG_PAGEALLOC a page that zap_pte_range allocates is mapped in the linear map,",
            "in a section inside zap's own. The inner exit paid and turned the mode off:",
            "safe, but everything behind it in the outer section paid store by store.",
        ],
        must_hold: "the page is usable right behind the inner exit, and the outer section is still lazy",
        seen_by: "the mode's state, machine",
        cores: 1,
        run: nesting::allocator_reenters,
    },
    Hazard {
        title: "enable while paused",
        story: [
            "The v4 thread of \"mm: enable lazy_mmu sections to nest\": KASAN pauses the mode while it populates its shadow,",
            "and a page that is allocated or freed meanwhile is DEBUG_PAGEALLOC's work, which calls enable().",
            "The exclusive contract warned in a kernel that did nothing wrong; Linux 5ab246749569 counts pauses and ignores the call.",
        ],
        must_hold: "v3 reports it, linux7 is silent, and no barrier is lost under either",
        seen_by: "the contract, machine",
        cores: 1,
        run: nesting::enable_while_paused,
    },
    Hazard {
        title: "the inner exit does nothing",
        story: [
            "An idea in the discussion before [PATCH v3 07/13]: let only the outermost disable() do anything.",
            "The inner user of a section returns and uses what it has mapped,",
            "and its access runs ahead of a barrier that comes at the end of somebody else's loop.",
        ],
        must_hold: "a checker catches it at the inner exit, and at the use",
        seen_by: "rules R8 R1, machine",
        cores: 1,
        run: nesting::inner_exit_pays_nothing,
    },
    Hazard {
        title: "an interrupt inside a section",
        story: [
            "Linux b81c688426a9 (\"arm64/mm: Disable barrier batching in interrupt contexts\"), found by syzbot:",
            "a handler's stores were deferred to the end of the section that it had interrupted, and the handler used its page before.",
            "It may come between any two instructions, also between the change of the count and the hook.",
        ],
        must_hold: "the handler's mappings are usable at once, and the task's pending state survives",
        seen_by: "rules, the traces, machine",
        cores: 1,
        run: interrupts::handler_in_section,
    },
    Hazard {
        title: "preemption between the count and the hook",
        story: [
            "Linux 691ee97e1a9d (\"mm: fix lazy mmu docs and usage\"): for kernel mappings no lock is held in a section,",
            "so an implementation must expect to be preempted, and to go on on another CPU.",
            "The nesting calls change a count and call a hook: between the two the state is half changed.",
        ],
        must_hold: "with a switch forced at every instruction of the four calls no state is lost",
        seen_by: "the traces",
        cores: 1,
        run: switches::preempted_everywhere,
    },
    Hazard {
        title: "a switch hook works on the wrong task",
        story: [
            "Feared for \"x86/xen: use lazy_mmu_state when context-switching\" (the last patch but one of the merged series):",
            "the hook is given the task that leaves, and code that looks at `current` instead",
            "finds another task's state, or the right one by chance, depending on when in the switch it runs.",
        ],
        must_hold: "the other task's state is untouched by a switch",
        seen_by: "the mode's state, machine",
        cores: 1,
        run: switches::hook_on_current,
    },
    Hazard {
        title: "migration in the middle of a section",
        story: [
            "Linux 5fdd05efa1cd (\"arm64/mm: Batch barriers when updating kernel mappings\") keeps what is pending in a flag of the task:",
            "stores that were made on one CPU are paid for on another, whose DSB does not wait for them.",
            "It is right because the switch has a `dsb ish` of its own, and the ISB comes where the task pays.",
        ],
        must_hold: "pending follows the task, with a DSB at the switch and an ISB before the first use",
        seen_by: "the mode's state, rules, machine",
        cores: 2,
        run: cores::migrates_in_a_section,
    },
    Hazard {
        title: "sleeping inside a section",
        story: [
            "Linux b6ea95a34cbd (\"kasan: avoid sleepable page allocation from atomic context\"): a page was allocated inside a section,",
            "where an architecture may have preemption disabled. \"mm: clarify lazy_mmu sleeping constraints\", merged with the nesting",
            "in 7.0, forbids generic code to sleep there. The text of v3 does not.",
        ],
        must_hold: "linux7 reports it, v3 allows it, and the debt goes along with the task under both",
        seen_by: "the kernel's warnings, rules",
        cores: 1,
        run: switches::sleeps_inside,
    },
    Hazard {
        title: "a lock that sleeps, taken by the allocator in an interrupt",
        story: [
            "\"arm64: mm: Don't sleep in split_kernel_leaf_mapping() when in atomic context\" (November 2025): with DEBUG_PAGEALLOC",
            "a page that is freed in atomic context changes the linear map,",
            "and the way there took a mutex.",
        ],
        must_hold: "no lock that sleeps is on the allocator's way to the linear map",
        seen_by: "the kernel's warnings",
        cores: 1,
        run: interrupts::lock_in_interrupt,
    },
    Hazard {
        title: "a section leaked on an error path",
        story: [
            "\"mm/vmalloc: leave lazy MMU mode on PTE mapping error\" (Linux 6.16): vmap_pages_pte_range returned an error",
            "from inside its section. The mode stayed on for whatever the task did next,",
            "with stores that nobody paid for.",
        ],
        must_hold: "a closure makes it impossible, and a deliberate leak is reported at the task's end",
        seen_by: "the end of the task, rules R8, machine",
        cores: 1,
        run: switches::leaked_on_an_error,
    },
    Hazard {
        title: "the TLB invalidation comes before the store",
        story: [
            "Feared for sections in which an architecture queues the stores themselves: flush_tlb_range() inside the section",
            "invalidates before the queue is written out, and a walker fills the TLB with the old entry again.",
            "On arm64 the stores are made at once, and the order is a `dsb ishst` between the store and the TLBI.",
        ],
        must_hold: "the order is checked: a TLBI covers only what was stored and visible before it",
        seen_by: "rules R9, QEMU, machine",
        cores: 1,
        run: order::tlbi_before_store,
    },
    Hazard {
        title: "an access through a mapping whose barrier is pending",
        story: [
            "Linux ad449d856bd7 (\"fs/proc/task_mmu: reduce scope of lazy mmu region\"): a section so wide",
            "that something like kmap() could be called in it,",
            "which expects its store to count at once and gets one that is deferred.",
        ],
        must_hold: "the access is caught, and reading the entry itself is fine",
        seen_by: "rules R1, the pending flag, machine",
        cores: 1,
        run: order::use_while_pending,
    },
    Hazard {
        title: "the ISB dropped as useless",
        story: [
            "\"Revert \\\"arm64: Remove unnecessary ISBs from set_{pte,pmd,pud}\\\"\" (August 2019, Linux 5.4):",
            "the DSB makes the store visible to the walker, and without an ISB behind it",
            "the CPU may take a fault that it has speculated from before. Kernels died of it.",
        ],
        must_hold: "a checker catches it",
        seen_by: "rules R8 R1, machine",
        cores: 1,
        run: order::no_isb,
    },
    Hazard {
        title: "another core uses what this one has published",
        story: [
            "Linux 42f91093b043 (\"arm64: mm: Ignore spurious translation faults taken from the kernel\"):",
            "the pair synchronises the CPU that executes it. Another one did no ISB, and may take a fault on an entry",
            "that is valid by now. The fault handler looks with AT S1E1R, and makes the access again.",
        ],
        must_hold: "a spurious fault is told apart from a real one by AT S1E1R, and retried",
        seen_by: "the fault handler, machine",
        cores: 2,
        run: cores::spurious_fault,
    },
    Hazard {
        title: "a store that must count at once, inside somebody's section",
        story: [
            "kasan_populate_vmalloc_pte is called for every entry of a range, inside the section of apply_to_page_range,",
            "takes no lock of its caller's, and its shadow is used as soon as it is stored.",
            "pause() and resume() are there for it (\"mm: introduce generic lazy_mmu helpers\").",
        ],
        must_hold: "a store that must be immediate bypasses the mode, and the section goes on as it was",
        seen_by: "rules R1, the mode's state, machine",
        cores: 1,
        run: order::immediate_store,
    },
    Hazard {
        title: "a live kernel entry is replaced by another page's",
        story: [
            "Linux 060a2c92d1b6 (\"arm64: mm: hugetlb: Disable HUGETLB_PAGE_OPTIMIZE_VMEMMAP\"): the vmemmap's pages were exchanged",
            "under their users. The architecture wants break-before-make: clear, DSB, TLBI, DSB, set.",
            "Without it two CPUs, or one, may see both pages at one address.",
        ],
        must_hold: "break-before-make: the tables refuse to store over a live entry, and replace by the five steps",
        seen_by: "rules R2, QEMU, machine",
        cores: 1,
        run: tables::live_entry_replaced,
    },
    Hazard {
        title: "a table is freed behind a TLBI of the last level",
        story: [
            "Linux 285994a62c80 (\"arm64: Invalidate the TLB corresponding to intermediate page table levels\"):",
            "a table was unlinked and freed, and the invalidation left the walk caches alone.",
            "A walker goes on through the cached link, into a page that has another owner.",
        ],
        must_hold: "the walk caches are invalidated before the table is used again",
        seen_by: "rules R5, machine",
        cores: 1,
        run: tables::table_freed_early,
    },
    Hazard {
        title: "enable and disable in different interrupt contexts",
        story: [
            "Feared for \"mm: bail out of lazy_mmu_mode_* in interrupt context\" (merged with the nesting in Linux 7.0):",
            "if in_interrupt() answers otherwise at an enable than at its disable,",
            "one of the two is counted and the other is not.",
        ],
        must_hold: "a handler cannot unbalance the task by a section of its own, and calls that do not pair are reported",
        seen_by: "the contract, the end of the task, machine",
        cores: 1,
        run: interrupts::handler_unbalances,
    },
    Hazard {
        title: "a second enter is ignored",
        story: [
            "Linux c36549ff8d84 takes back \"x86/xen: allow nesting of same lazy mode\": the mode is a flag of the CPU,",
            "and who enters while it is on is ignored, with its exit. Under preemption the second is another task:",
            "its exit pays nothing, and it uses its page before anybody does.",
        ],
        must_hold: "the policy is caught, and with a mode for each task nothing is wrong",
        seen_by: "rules R1, machine",
        cores: 1,
        run: switches::second_enter_ignored,
    },
    Hazard {
        title: "a section around one entry",
        story: [
            "Measured for the merged series: sections of one entry cost more than they save,",
            "5 to 7 % of vm_map_ram, and 2 % of a vmalloc of one page (5fdd05efa1cd and its series).",
            "The pair is paid either way, and the calls come on top.",
        ],
        must_hold: "the break-even is measured: a section saves from its second entry on",
        seen_by: "replay, plugin",
        cores: 1,
        run: cost::break_even,
    },
];
