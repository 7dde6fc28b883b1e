//! The machine, as the device tree describes it: RAM, cores, UART, interrupt controller, PSCI
//! conduit, command line.
//!
//! `dtoolkit` reads the tree: no allocation, and fuzzed upstream. What is taken from it is copied
//! out, so that the frames it lies in can be used.

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::standard::NodeStandard;
use dtoolkit::{Node, Property, ToCellInt};
use stage1_paging::Pa;
use thiserror::Error;

use super::exit::MARK_BYTES;
use crate::base::MAX_CORES;

/// A stretch of physical addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// First byte.
    pub start: Pa,
    /// Length in bytes.
    pub bytes: u64,
}

impl Region {
    /// The first address behind it.
    pub fn end(self) -> Pa {
        Pa::new(self.start.raw() + self.bytes).unwrap_or(self.start)
    }
}

/// An interrupt controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gic {
    /// The version of its architecture: 2 or 3.
    pub version: u8,
    /// GICD registers.
    pub distributor: Region,
    /// The cores' own registers: GICC, which every core finds at the same address; or GICR, those of all cores one behind the
    /// other.
    pub cores: Region,
}

/// How PSCI is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduit {
    /// `hvc`
    Hvc,
    /// `smc`
    Smc,
}

/// The longest command line that is taken, in bytes: 1024 of whoever boots the kernel, and the boot runner's mark.
pub const COMMAND_LINE_MAX: usize = 1024 + MARK_BYTES;

/// What the device tree says.
#[derive(Clone, Debug)]
pub struct Machine {
    /// RAM, as one region: the first memory node's.
    pub ram: Region,
    /// MPIDR affinities of the cores, the booting one among them.
    pub cores: [u64; MAX_CORES],
    /// How many of them there are.
    pub core_count: usize,
    /// How many the device tree has: more than `core_count` when this kernel's limit cut them off.
    pub cores_in_tree: usize,
    /// The console's registers.
    pub uart: Option<Region>,
    /// The interrupt controller.
    pub gic: Option<Gic>,
    /// The interrupt of each core's own virtual timer.
    pub timer: Option<u32>,
    /// How another core is started.
    pub psci: Option<Conduit>,
}

/// Why a device tree cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TreeError {
    /// It does not parse.
    #[error("there is no device tree at the start of RAM or in x0, or it is malformed")]
    Malformed,
    /// It has no memory node with an address and a size.
    #[error("the device tree names no RAM")]
    NoMemory,
    /// It has no cores.
    #[error("the device tree names no cores")]
    NoCores,
    /// The command line is longer than is taken, or not UTF-8.
    #[error("the command line is not UTF-8, or longer; allowed: 1024 bytes")]
    CommandLine,
}

impl Machine {
    /// Reads the device tree.
    ///
    /// # Errors
    /// See [`TreeError`]. What is merely missing (UART, GIC, PSCI) is `None`.
    pub fn from_tree(tree: Fdt<'_>) -> Result<Self, TreeError> {
        let memory = tree.memory().map_err(|_| TreeError::NoMemory)?;
        let (cores, cores_in_tree) = cores(tree).ok_or(TreeError::NoCores)?;
        Ok(Self {
            ram: region(*memory, 0).ok_or(TreeError::NoMemory)?,
            cores,
            core_count: cores_in_tree.min(MAX_CORES),
            cores_in_tree,
            uart: console(tree),
            gic: interrupt_controller(tree),
            timer: virtual_timer(tree),
            psci: conduit(tree),
        })
    }
}

fn region(node: FdtNode<'_>, index: usize) -> Option<Region> {
    let reg = node.reg().ok()??.nth(index)?;
    let (start, bytes): (u64, u64) = (reg.address().ok()?, reg.size().ok()?);
    // All of it within 48 bits, so that `end` is an address too.
    start.checked_add(bytes).and_then(Pa::new)?;
    Some(Region {
        start: Pa::new(start)?,
        bytes,
    })
}

/// The affinities of the cores that there is room for, and how many cores there are; `None` if there are none.
fn cores(tree: Fdt<'_>) -> Option<([u64; MAX_CORES], usize)> {
    let mut cores = [0; MAX_CORES];
    let cpus = tree.cpus().ok()?;
    for (affinity, cpu) in cores.iter_mut().zip(cpus.cpus()) {
        *affinity = cpu.ids().ok()?.next()?.to_int().ok()?;
    }
    let count = cpus.cpus().count();
    (count != 0).then_some((cores, count))
}

/// The registers of the console, which is wanted before the rest is read: to say what is wrong with it.
pub fn console(tree: Fdt<'_>) -> Option<Region> {
    let chosen = tree.chosen()?;
    let path = chosen.stdout_path().ok()??;
    let node = tree.find_node(path.split(':').next()?)?;
    region(node, 0).filter(|_| node.is_compatible("arm,pl011"))
}

fn interrupt_controller(tree: Fdt<'_>) -> Option<Gic> {
    tree.root().children().find_map(|node| {
        let version = node.compatible()?.find_map(|name| match name {
            "arm,cortex-a15-gic" | "arm,gic-400" => Some(2),
            "arm,gic-v3" => Some(3),
            _ => None,
        })?;
        Some(Gic {
            version,
            distributor: region(node, 0)?,
            cores: region(node, 1)?,
        })
    })
}

/// The third of the timer's interrupts (secure, non-secure, virtual, EL2), each of three cells: kind,
/// number, flags. Kind 1 is a PPI, whose numbers begin at 16.
fn virtual_timer(tree: Fdt<'_>) -> Option<u32> {
    let root = tree.root();
    let timer = root.find_compatible("arm,armv8-timer").next()?;
    let interrupts = timer.property("interrupts")?;
    let [kind, number, _] = interrupts.as_prop_encoded_array([1; 3]).ok()?.nth(2)?;
    (kind.to_int::<u32>().ok()? == 1).then_some(number.to_int::<u32>().ok()? + 16)
}

fn conduit(tree: Fdt<'_>) -> Option<Conduit> {
    let method = tree.find_node("/psci")?.property("method")?;
    match method.value_as().ok()? {
        "hvc" => Some(Conduit::Hvc),
        "smc" => Some(Conduit::Smc),
        _ => None,
    }
}

/// The command line (`-append`), where it lies in the tree.
///
/// # Errors
/// [`TreeError::CommandLine`]
pub fn command_line(tree: Fdt<'_>) -> Result<&str, TreeError> {
    let chosen = tree.find_node("/chosen");
    let line = chosen.and_then(|node| node.property("bootargs"));
    line.map_or(Ok(""), |line| line.value_as())
        .ok()
        .filter(|line| line.len() <= COMMAND_LINE_MAX)
        .ok_or(TreeError::CommandLine)
}
