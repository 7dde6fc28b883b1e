//! What QEMU calls: when it loads the plugin, when it has translated a block, in front of every instruction, at the end.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::ptr;

use crate::api::{self, Block, Info, Instruction, OnInstruction, PluginId};
use crate::count::Witness;
use crate::decode::{Kind, decode};

static WITNESS: Witness = Witness::new();

/// QEMU has loaded the plugin: `argv` are its arguments, of which there is one, `out=FILE`. Returns 0 if all is well.
///
/// # Safety
/// To be called by QEMU: `info` and the `argc` strings of `argv` are valid for the length of the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: PluginId,
    info: *const Info,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU passes its own, live for the length of the call.
    let info = unsafe { &*info };
    // SAFETY: a constant string of QEMU's.
    let target = unsafe { CStr::from_ptr(info.target_name) };
    if target != c"aarch64" || !info.system_emulation {
        return refuse("this plugin knows AArch64 systems only");
    }
    let mut arguments = (0..usize::try_from(argc).unwrap_or(0)).map(|i| {
        // SAFETY: `i` is below `argc`, the length of `argv`.
        let argument = unsafe { argv.add(i) };
        // SAFETY: in bounds, as above.
        let argument = unsafe { *argument };
        // SAFETY: QEMU's arguments are strings with an end.
        unsafe { CStr::from_ptr(argument) }.to_string_lossy()
    });
    let out = arguments.find_map(|argument| argument.strip_prefix("out=").map(str::to_owned));
    let Some(path) = out else {
        return refuse("say where the windows go: out=FILE");
    };
    match File::create(&path) {
        Ok(file) => WITNESS.write_to(file),
        Err(why) => return refuse(&format!("cannot write {path}: {why}")),
    }
    // SAFETY: the number is the one QEMU passes.
    unsafe { api::register(id) };
    0
}

fn refuse(why: &str) -> c_int {
    eprintln!("lazy-mmu-plugin: {why}");
    1
}

/// QEMU has translated a block: registers a call in front of each of its instructions.
///
/// # Safety
/// The block is valid for the length of the call.
pub unsafe fn translated(block: *const Block) {
    // SAFETY: valid, as the caller says.
    let length = unsafe { api::qemu_plugin_tb_n_insns(block) };
    for index in 0..length {
        // SAFETY: `index` is below the block's length.
        let instruction = unsafe { api::qemu_plugin_tb_get_insn(block, index) };
        // SAFETY: an instruction of a valid block.
        let kind = unsafe { kind(instruction) };
        let (callback, data): (OnInstruction, usize) = match kind {
            Kind::Plain => (plain, 0),
            kind => (special, pack(kind)),
        };
        let data = ptr::without_provenance_mut(data);
        // SAFETY: an instruction of a valid block; the callback lives as long as the library, which is never unloaded;
        // the data points to nothing and is not followed.
        unsafe {
            api::qemu_plugin_register_vcpu_insn_exec_cb(instruction, callback, api::NO_REGS, data);
        }
    }
}

/// What an instruction is to the witness. One that is no word is none of ours: AArch32 has halves.
///
/// # Safety
/// It is valid.
unsafe fn kind(instruction: *const Instruction) -> Kind {
    // SAFETY: valid, as the caller says.
    if unsafe { api::qemu_plugin_insn_size(instruction) } != 4 {
        return Kind::Plain;
    }
    // SAFETY: valid, as the caller says, and its size was just read.
    decode(u32::from_le_bytes(unsafe { api::bytes(instruction) }))
}

extern "C" fn plain(core: c_uint, _: *mut c_void) {
    WITNESS.plain(core as usize);
}

extern "C" fn special(core: c_uint, data: *mut c_void) {
    WITNESS.begins(core as usize, unpack(data.addr()));
}

/// QEMU ends.
pub fn ended() {
    WITNESS.finish();
}

/// A kind in a word, for QEMU to keep: what it is in the upper bits, which of them in the lower eight.
fn pack(kind: Kind) -> usize {
    let (what, which) = match kind {
        Kind::Plain => (0, 0),
        Kind::Counted(kind) => (1, kind),
        Kind::Nibble(n) => (2, n),
        Kind::Start(w) => (3, w),
        Kind::End(w) => (4, w),
    };
    what << 8 | usize::from(which)
}

fn unpack(data: usize) -> Kind {
    let which = data.to_le_bytes()[0];
    match data >> 8 {
        1 => Kind::Counted(which),
        2 => Kind::Nibble(which),
        3 => Kind::Start(which),
        4 => Kind::End(which),
        _ => Kind::Plain,
    }
}
