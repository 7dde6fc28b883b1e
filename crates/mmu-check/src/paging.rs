//! What [`stage1_paging`] composes and collects, as events.

use stage1_paging::{Debt, Half, Tlbi};

use crate::event::What;
use crate::tlbi::{Op, Operand};

impl From<Tlbi> for What {
    fn from(tlbi: Tlbi) -> Self {
        match tlbi {
            Tlbi::Vae1is(operand) => What::tlbi(Op::VAE1IS, operand),
            Tlbi::Vale1is(operand) => What::tlbi(Op::VALE1IS, operand),
            Tlbi::Vaae1is(operand) => What::tlbi(Op::VAAE1IS, operand),
            Tlbi::Vaale1is(operand) => What::tlbi(Op::VAALE1IS, operand),
            Tlbi::Rvae1is(operand) => What::tlbi(Op::RVAE1IS, operand),
            Tlbi::Rvale1is(operand) => What::tlbi(Op::RVALE1IS, operand),
            Tlbi::Rvaae1is(operand) => What::tlbi(Op::RVAAE1IS, operand),
            Tlbi::Rvaale1is(operand) => What::tlbi(Op::RVAALE1IS, operand),
            Tlbi::Aside1is(operand) => What::tlbi(Op::ASIDE1IS, operand),
            Tlbi::Vmalle1is => What::tlbi(Op::VMALLE1IS, Operand::NONE),
        }
    }
}

/// What to report when the invalidation of `debt` is about to be called complete: an event for each of
/// its runs of pages.
pub fn dones(debt: &Debt) -> impl Iterator<Item = What> {
    let asid = match debt.half() {
        Half::Lower(asid) => asid.0,
        Half::Upper => 0,
    };
    let tables = debt.frees_tables();
    debt.pages().map(move |pages| What::Done {
        va: pages.start().raw(),
        pages: pages.count(),
        asid,
        tables,
    })
}
