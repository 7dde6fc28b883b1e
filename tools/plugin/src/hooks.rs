//! QEMU's side: the dozen declarations of its plugin interface that are needed, and what it calls.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::ptr;

use crate::count::Witness;
use crate::decode::{Kind, decode};

/// The version of the interface this is built for. QEMU reads it before anything else.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = version();

const fn version() -> c_int {
    match c_int::from_str_radix(env!("PLUGIN_API"), 10) {
        Ok(version) => version,
        Err(_) => panic!("PLUGIN_API is a number: build.rs has parsed it"),
    }
}

/// `QEMU_PLUGIN_CB_NO_REGS`: the callback looks at no registers.
const NO_REGS: c_int = 0;

type PluginId = u64;

/// A translated block; QEMU's own.
#[repr(C)]
pub struct Block([u8; 0]);

/// A translated instruction; QEMU's own.
#[repr(C)]
pub struct Instruction([u8; 0]);

/// What QEMU says of itself, as far as it is looked at.
#[repr(C)]
pub struct Info {
    target_name: *const c_char,
    oldest_version: c_int,
    version: c_int,
    system_emulation: bool,
}

// SAFETY: as in qemu-plugin.h of the version that `qemu_plugin_version` names; QEMU loads no plugin of another.
unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(
        id: PluginId,
        callback: extern "C" fn(PluginId, *mut Block),
    );
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_atexit_cb(
        id: PluginId,
        callback: extern "C" fn(PluginId, *mut c_void),
        data: *mut c_void,
    );
    fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    fn qemu_plugin_insn_size(instruction: *const Instruction) -> usize;
    #[cfg(not(insn_data_copies))]
    fn qemu_plugin_insn_data(instruction: *const Instruction) -> *const c_void;
    #[cfg(insn_data_copies)]
    fn qemu_plugin_insn_data(instruction: *const Instruction, to: *mut c_void, len: usize)
    -> usize;
}

static WITNESS: Witness = Witness::new();

/// QEMU has loaded the plugin: `argv` are its arguments, of which there is one, `out=FILE`. Ends with 0 if all is well.
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
    let Some(path) =
        arguments.find_map(|argument| argument.strip_prefix("out=").map(str::to_owned))
    else {
        return refuse("say where the windows go: out=FILE");
    };
    match File::create(&path) {
        Ok(file) => WITNESS.write_to(file),
        Err(why) => return refuse(&format!("cannot write {path}: {why}")),
    }
    // SAFETY: `id` is this plugin's, and the callback lives as long as the library, which is never unloaded.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
    // SAFETY: as above.
    unsafe { qemu_plugin_register_atexit_cb(id, ended, ptr::null_mut()) };
    0
}

fn refuse(why: &str) -> c_int {
    eprintln!("lazy-mmu-plugin: {why}");
    1
}

/// QEMU has translated a block: asks for a call in front of each of its instructions.
extern "C" fn translated(_: PluginId, block: *mut Block) {
    // SAFETY: QEMU's block is valid for the length of this call.
    let length = unsafe { qemu_plugin_tb_n_insns(block) };
    for index in 0..length {
        // SAFETY: `index` is below the block's length.
        let instruction = unsafe { qemu_plugin_tb_get_insn(block, index) };
        let kind = word(instruction).map_or(Kind::Plain, decode);
        let (callback, data): (extern "C" fn(c_uint, *mut c_void), _) = match kind {
            Kind::Plain => (plain, 0),
            _ => (special, pack(kind)),
        };
        // SAFETY: the instruction is of this block, the callback lives as long as the library, and the data is no
        // pointer to anything.
        unsafe {
            qemu_plugin_register_vcpu_insn_exec_cb(
                instruction,
                callback,
                NO_REGS,
                ptr::without_provenance_mut(data),
            );
        }
    }
}

/// The word of an instruction; `None` if it is no word (AArch32 has halves).
fn word(instruction: *mut Instruction) -> Option<u32> {
    // SAFETY: QEMU's instruction, valid while its block is being looked at.
    let size = unsafe { qemu_plugin_insn_size(instruction) };
    (size == 4).then(|| u32::from_le_bytes(bytes(instruction)))
}

/// The bytes of an instruction of four, from the interface that copies them.
#[cfg(insn_data_copies)]
fn bytes(instruction: *mut Instruction) -> [u8; 4] {
    let mut bytes = [0; 4];
    // SAFETY: called for QEMU's own instruction only, valid while its block is being looked at; the buffer has the length
    // that is said.
    unsafe { qemu_plugin_insn_data(instruction, bytes.as_mut_ptr().cast(), bytes.len()) };
    bytes
}

/// The bytes of an instruction of four, from the interface that points at them.
#[cfg(not(insn_data_copies))]
fn bytes(instruction: *mut Instruction) -> [u8; 4] {
    // SAFETY: called for QEMU's own instruction only, valid while its block is being looked at.
    let data = unsafe { qemu_plugin_insn_data(instruction) };
    // SAFETY: QEMU's data is as long as the instruction, four bytes, with no alignment promised.
    unsafe { data.cast::<[u8; 4]>().read_unaligned() }
}

extern "C" fn plain(core: c_uint, _: *mut c_void) {
    WITNESS.plain(core as usize);
}

extern "C" fn special(core: c_uint, data: *mut c_void) {
    WITNESS.begins(core as usize, unpack(data.addr()));
}

extern "C" fn ended(_: PluginId, _: *mut c_void) {
    WITNESS.finish();
}

/// A kind in a word, for QEMU to keep: what it is in the upper bits, which of them in the lower four.
fn pack(kind: Kind) -> usize {
    let (what, which) = match kind {
        Kind::Plain => (0, 0),
        Kind::Dsb => (1, 0),
        Kind::Isb => (2, 0),
        Kind::Dmb => (3, 0),
        Kind::Tlbi => (4, 0),
        Kind::Nibble(n) => (5, n),
        Kind::Start(w) => (6, w),
        Kind::End(w) => (7, w),
    };
    what << 4 | usize::from(which)
}

fn unpack(data: usize) -> Kind {
    let which = data.to_le_bytes()[0] & 0xf;
    match data >> 4 {
        1 => Kind::Dsb,
        2 => Kind::Isb,
        3 => Kind::Dmb,
        4 => Kind::Tlbi,
        5 => Kind::Nibble(which),
        6 => Kind::Start(which),
        7 => Kind::End(which),
        _ => Kind::Plain,
    }
}
