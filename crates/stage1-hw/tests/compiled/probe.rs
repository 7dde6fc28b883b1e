//! A module of the crate, for `main.rs` to read and run what the compiler makes of it: each operation
//! as a kernel would call it.

use core::sync::atomic::AtomicU64;

use stage1_paging::{Batch, Debt, Desc, Level, Pa, Step, Tlbi, Va};

use crate::{Barrier, Instructions, Op, Page, Plain, Slot, Slots, Upkeep, Why};

macro_rules! operations {
    ($($name:ident = $op:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub fn $name() {
            Plain.execute($op, Why::Publish);
        }
    )*};
}

operations! {
    dsb_ish = Op::Dsb(Barrier::Ish);
    dsb_ishst = Op::Dsb(Barrier::Ishst);
    dsb_ishld = Op::Dsb(Barrier::Ishld);
    dsb_nsh = Op::Dsb(Barrier::Nsh);
    dsb_sy = Op::Dsb(Barrier::Sy);
    dmb_ish = Op::Dmb(Barrier::Ish);
    dmb_ishst = Op::Dmb(Barrier::Ishst);
    dmb_ishld = Op::Dmb(Barrier::Ishld);
    dmb_nsh = Op::Dmb(Barrier::Nsh);
    dmb_sy = Op::Dmb(Barrier::Sy);
    isb = Op::Isb;
    tlbi_all_local = Op::TlbiAllLocal;
    vmalle1is = Op::Tlbi(Batch { first: Tlbi::Vmalle1is, count: 1, step: 0 });
}

macro_rules! invalidations {
    ($($name:ident = $tlbi:ident;)*) => {$(
        #[unsafe(no_mangle)]
        pub fn $name(operand: u64, count: u64, step: u64) {
            let first = Tlbi::$tlbi(operand);
            Plain.execute(Op::Tlbi(Batch { first, count, step }), Why::Invalidate);
        }
    )*};
}

invalidations! {
    vae1is = Vae1is;
    vale1is = Vale1is;
    vaae1is = Vaae1is;
    vaale1is = Vaale1is;
    rvae1is = Rvae1is;
    rvale1is = Rvale1is;
    rvaae1is = Rvaae1is;
    rvaale1is = Rvaale1is;
    aside1is = Aside1is;
}

#[unsafe(no_mangle)]
pub fn publish() {
    crate::publish(Plain);
}

#[unsafe(no_mangle)]
pub fn publish_root() {
    crate::publish_root(Plain);
}

#[unsafe(no_mangle)]
pub fn drop_all_local() {
    crate::drop_all_local(Plain);
}

#[unsafe(no_mangle)]
pub fn invalidate(debt: &Debt) {
    crate::invalidate(Plain, debt, Upkeep::default());
}

#[unsafe(no_mangle)]
pub fn load(word: &AtomicU64) -> u64 {
    Plain.load(word).bits()
}

#[unsafe(no_mangle)]
pub fn store(word: &AtomicU64, bits: u64) {
    let slot = Slot {
        word,
        pa: Pa::default(),
        level: Level::L3,
        va: Va::new(0),
    };
    Plain.store(slot, Desc::from_bits(bits), Why::Link);
}

/// Three descriptors set to `bits`, each looked at first.
#[unsafe(no_mangle)]
pub fn edit(words: &[AtomicU64; 3], bits: u64) {
    Plain.edit(slots(words), |_| Step::Store(Desc::from_bits(bits)));
}

/// The same, unseen.
#[unsafe(no_mangle)]
pub fn fill(words: &[AtomicU64; 3], bits: u64) {
    Plain.fill(slots(words), Desc::from_bits(bits));
}

fn slots(words: &[AtomicU64; 3]) -> Slots<'_> {
    Slots {
        words,
        pa: Pa::default(),
        level: Level::L3,
        va: Va::new(0),
    }
}

/// Memory that is no table: the compiler would leave the first store out if it could.
///
/// # Safety
/// `data` may be written through.
#[unsafe(no_mangle)]
pub unsafe fn stores_around(data: *mut u64) {
    // SAFETY: the caller's promise.
    unsafe { *data = 1 };
    Plain.execute(Op::Dsb(Barrier::Ishst), Why::Kick);
    // SAFETY: the caller's promise.
    unsafe { *data = 2 };
}

/// The same around a TLBI.
///
/// # Safety
/// As [`stores_around`].
#[unsafe(no_mangle)]
pub unsafe fn stores_around_tlbi(data: *mut u64) {
    let batch = Batch {
        first: Tlbi::Vae1is(0x400),
        count: 1,
        step: 1,
    };
    // SAFETY: the caller's promise.
    unsafe { *data = 1 };
    Plain.execute(Op::Tlbi(batch), Why::Invalidate);
    // SAFETY: the caller's promise.
    unsafe { *data = 2 };
}

/// The same around the zeroing of a page, which `data` may lie in.
///
/// # Safety
/// As [`stores_around`].
#[unsafe(no_mangle)]
pub unsafe fn stores_around_zero(data: *mut u64, page: &Page) {
    // SAFETY: the caller's promise.
    unsafe { *data = 1 };
    Plain.zero(page, Pa::default(), Why::Data);
    // SAFETY: the caller's promise.
    unsafe { *data = 2 };
}

#[unsafe(no_mangle)]
pub fn zero(page: &Page) {
    Plain.zero(page, Pa::default(), Why::Data);
}

/// # Safety
/// As [`Instructions::write_ttbr0`].
#[unsafe(no_mangle)]
pub unsafe fn write_ttbr0(value: u64) {
    // SAFETY: the caller's promise.
    unsafe { Plain.write_ttbr0(value) }
}

#[unsafe(no_mangle)]
pub fn read_ttbr0() -> u64 {
    crate::read_ttbr0()
}

#[unsafe(no_mangle)]
pub fn core_registers() -> crate::CoreRegisters {
    crate::CoreRegisters::read()
}
