//! The dozen declarations of QEMU's plugin interface that are needed, as the version that is built for has them.
//!
//! | version | QEMU | what differs here |
//! |---|---|---|
//! | 1 | 6.0 to 8.2 | |
//! | 2 | 9.0 | nothing; QEMU refuses older ones |
//! | 3 to 6 | 9.1 to 11.0 | `insn_data_copies`: an instruction's bytes are copied instead of pointed at |
//! | 7 | from 11.1 on | `callbacks_take_data`: callbacks get data of the plugin's instead of its number |

use std::ffi::{c_char, c_int, c_uint, c_void};

#[cfg(callbacks_take_data)]
use std::ptr;

/// The version this is built for. QEMU reads it before anything else.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = version();

const fn version() -> c_int {
    match c_int::from_str_radix(env!("PLUGIN_API"), 10) {
        Ok(version) => version,
        Err(_) => panic!("PLUGIN_API is a number: build.rs has parsed it"),
    }
}

/// `QEMU_PLUGIN_CB_NO_REGS`: the callback looks at no registers.
pub const NO_REGS: c_int = 0;

/// QEMU's number for this plugin.
pub type PluginId = u64;

/// A translated block; QEMU's own.
#[repr(C)]
pub struct Block([u8; 0]);

/// A translated instruction; QEMU's own.
#[repr(C)]
pub struct Instruction([u8; 0]);

/// What QEMU says of itself, as far as it is looked at.
#[repr(C)]
pub struct Info {
    pub target_name: *const c_char,
    pub oldest_version: c_int,
    pub version: c_int,
    pub system_emulation: bool,
}

/// What is called in front of an instruction: the core's number, and the data that was registered.
pub type OnInstruction = extern "C" fn(c_uint, *mut c_void);

#[cfg(not(callbacks_take_data))]
type OnBlock = extern "C" fn(PluginId, *mut Block);
#[cfg(callbacks_take_data)]
type OnBlock = extern "C" fn(*mut Block, *mut c_void);

#[cfg(not(callbacks_take_data))]
type OnExit = extern "C" fn(PluginId, *mut c_void);
#[cfg(callbacks_take_data)]
type OnExit = extern "C" fn(*mut c_void);

// SAFETY: as in qemu-plugin.h of the version that `qemu_plugin_version` names; QEMU loads no plugin of another.
unsafe extern "C" {
    #[cfg(not(callbacks_take_data))]
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: PluginId, callback: OnBlock);
    #[cfg(callbacks_take_data)]
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: PluginId, callback: OnBlock, data: *mut c_void);
    fn qemu_plugin_register_atexit_cb(id: PluginId, callback: OnExit, data: *mut c_void);
    /// Has `callback` called, with `data`, in front of an instruction.
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: OnInstruction,
        flags: c_int,
        data: *mut c_void,
    );
    /// How many instructions a block has.
    pub fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    /// One of them.
    pub fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    /// Its length in bytes.
    pub fn qemu_plugin_insn_size(instruction: *const Instruction) -> usize;
    #[cfg(not(insn_data_copies))]
    fn qemu_plugin_insn_data(instruction: *const Instruction) -> *const c_void;
    #[cfg(insn_data_copies)]
    fn qemu_plugin_insn_data(instruction: *const Instruction, to: *mut c_void, len: usize)
    -> usize;
}

/// Has [`crate::hooks::translated`] called for each block and [`crate::hooks::ended`] at the end.
///
/// # Safety
/// `id` is the number QEMU gave this plugin.
pub unsafe fn register(id: PluginId) {
    // SAFETY: `id` is this plugin's; the callback lives as long as the library, which is never unloaded.
    #[cfg(not(callbacks_take_data))]
    unsafe {
        qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
    }
    // SAFETY: as above; the data is not looked at.
    #[cfg(callbacks_take_data)]
    unsafe {
        qemu_plugin_register_vcpu_tb_trans_cb(id, on_block, ptr::null_mut());
    }
    // SAFETY: as above.
    unsafe { qemu_plugin_register_atexit_cb(id, on_exit, std::ptr::null_mut()) };
}

#[cfg(not(callbacks_take_data))]
extern "C" fn on_block(_: PluginId, block: *mut Block) {
    // SAFETY: QEMU calls this with a block that is valid for the length of the call.
    unsafe { crate::hooks::translated(block) };
}

#[cfg(callbacks_take_data)]
extern "C" fn on_block(block: *mut Block, _: *mut c_void) {
    // SAFETY: QEMU calls this with a block that is valid for the length of the call.
    unsafe { crate::hooks::translated(block) };
}

#[cfg(not(callbacks_take_data))]
extern "C" fn on_exit(_: PluginId, _: *mut c_void) {
    crate::hooks::ended();
}

#[cfg(callbacks_take_data)]
extern "C" fn on_exit(_: *mut c_void) {
    crate::hooks::ended();
}

/// The bytes of an instruction.
///
/// # Safety
/// It is valid, and four bytes long.
#[cfg(insn_data_copies)]
pub unsafe fn bytes(instruction: *const Instruction) -> [u8; 4] {
    let mut bytes = [0; 4];
    // SAFETY: valid, as the caller says; the buffer has the length that is said.
    unsafe { qemu_plugin_insn_data(instruction, bytes.as_mut_ptr().cast(), bytes.len()) };
    bytes
}

/// The bytes of an instruction.
///
/// # Safety
/// It is valid, and four bytes long.
#[cfg(not(insn_data_copies))]
pub unsafe fn bytes(instruction: *const Instruction) -> [u8; 4] {
    // SAFETY: valid, as the caller says.
    let data = unsafe { qemu_plugin_insn_data(instruction) };
    // SAFETY: QEMU's data is as long as the instruction, four bytes as the caller says, with no alignment promised.
    unsafe { data.cast::<[u8; 4]>().read_unaligned() }
}
