//! The machine, as the device tree describes it: RAM, cores, UART, interrupt controller, PSCI
//! conduit, command line.
//!
//! `dtoolkit` reads the tree: no allocation, and fuzzed upstream. What is taken from it is copied
//! out, so that the frames it lies in can be used.

use core::fmt;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::standard::NodeStandard;
use dtoolkit::{Node, Property};
use stage1_paging::Pa;

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
pub enum Gic {
    /// GICv2: distributor and CPU interface.
    V2 {
        /// GICD registers.
        distributor: Region,
        /// GICC registers.
        cpu: Region,
    },
    /// GICv3: distributor and redistributors.
    V3 {
        /// GICD registers.
        distributor: Region,
        /// GICR registers, all cores'.
        redistributors: Region,
    },
}

/// How PSCI is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduit {
    /// `hvc`
    Hvc,
    /// `smc`
    Smc,
}

/// The longest command line that is kept, in bytes: 1024 of whoever boots the kernel, and the boot runner's mark.
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
    /// How to ask for another core.
    pub psci: Option<Conduit>,
    /// Where the tree itself lies.
    pub tree: Region,
    command_line: [u8; COMMAND_LINE_MAX],
    command_line_len: usize,
}

/// Why a device tree cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TreeError {
    /// It does not parse.
    Malformed,
    /// It has no memory node with an address and a size.
    NoMemory,
    /// It has no cores.
    NoCores,
    /// The command line is longer than is kept, or not UTF-8.
    CommandLine,
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TreeError::Malformed => {
                "there is no device tree at the start of RAM or in x0, or it is malformed"
            }
            TreeError::NoMemory => "the device tree names no RAM",
            TreeError::NoCores => "the device tree names no cores",
            TreeError::CommandLine => {
                "the command line is not UTF-8, or longer; allowed: 1024 bytes"
            }
        })
    }
}

impl Machine {
    /// Reads the device tree.
    ///
    /// # Errors
    /// See [`TreeError`]. What is merely missing (UART, GIC, PSCI) is `None`.
    pub fn from_tree(tree: Fdt<'_>, at: Pa) -> Result<Self, TreeError> {
        let memory = tree
            .root()
            .children()
            .find(|node| node.name_without_address() == "memory");
        let ram = memory
            .and_then(|node| region(node, 0))
            .ok_or(TreeError::NoMemory)?;
        let (cores, core_count, cores_in_tree) = cores(tree)?;
        let (command_line, command_line_len) = command_line(tree)?;
        Ok(Self {
            ram,
            cores,
            core_count,
            cores_in_tree,
            uart: console(tree),
            gic: interrupt_controller(tree),
            timer: virtual_timer(tree),
            psci: conduit(tree),
            tree: Region {
                start: at,
                bytes: tree.data().len() as u64,
            },
            command_line,
            command_line_len,
        })
    }

    /// The command line (`-append`).
    pub fn command_line(&self) -> &str {
        // Checked when it was copied.
        core::str::from_utf8(&self.command_line[..self.command_line_len]).unwrap_or_default()
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

fn cores(tree: Fdt<'_>) -> Result<([u64; MAX_CORES], usize, usize), TreeError> {
    let mut cores = [0; MAX_CORES];
    let mut found = 0;
    for node in tree
        .find_node("/cpus")
        .ok_or(TreeError::NoCores)?
        .children()
    {
        if node.name_without_address() != "cpu" {
            continue;
        }
        // `reg` of a cpu node is one or two cells of affinity and no size, which `reg()` takes for
        // an address.
        let affinity = node.property("reg").map_or(0, |reg| {
            reg.value()
                .iter()
                .fold(0, |value, &byte| value << 8 | u64::from(byte))
        });
        if let Some(slot) = cores.get_mut(found) {
            *slot = affinity;
        }
        found += 1;
    }
    if found == 0 {
        Err(TreeError::NoCores)
    } else {
        Ok((cores, found.min(MAX_CORES), found))
    }
}

/// The registers of the console, which is wanted before the rest is read: to say what is wrong with it.
pub fn console(tree: Fdt<'_>) -> Option<Region> {
    let chosen = tree.chosen()?;
    let path = chosen.stdout_path().ok()??;
    let node = tree.find_node(path.split(':').next()?)?;
    if node.is_compatible("arm,pl011") {
        region(node, 0)
    } else {
        None
    }
}

fn interrupt_controller(tree: Fdt<'_>) -> Option<Gic> {
    tree.root().children().find_map(|node| {
        if node.is_compatible("arm,cortex-a15-gic") || node.is_compatible("arm,gic-400") {
            Some(Gic::V2 {
                distributor: region(node, 0)?,
                cpu: region(node, 1)?,
            })
        } else if node.is_compatible("arm,gic-v3") {
            Some(Gic::V3 {
                distributor: region(node, 0)?,
                redistributors: region(node, 1)?,
            })
        } else {
            None
        }
    })
}

/// The third of the timer's interrupts (secure, non-secure, virtual, EL2), each of three cells: kind,
/// number, flags. Kind 1 is a PPI, whose numbers begin at 16.
fn virtual_timer(tree: Fdt<'_>) -> Option<u32> {
    let timer = tree
        .root()
        .children()
        .find(|node| node.is_compatible("arm,armv8-timer"))?;
    let interrupts = timer.property("interrupts")?;
    let cell = |index: usize| {
        let bytes = interrupts.value().get(4 * index..4 * index + 4)?;
        bytes.try_into().ok().map(u32::from_be_bytes)
    };
    (cell(6)? == 1).then_some(cell(7)? + 16)
}

fn conduit(tree: Fdt<'_>) -> Option<Conduit> {
    match tree
        .find_node("/psci")?
        .property("method")?
        .value_as::<&str>()
        .ok()?
    {
        "hvc" => Some(Conduit::Hvc),
        "smc" => Some(Conduit::Smc),
        _ => None,
    }
}

fn command_line(tree: Fdt<'_>) -> Result<([u8; COMMAND_LINE_MAX], usize), TreeError> {
    let mut bytes = [0; COMMAND_LINE_MAX];
    let Some(chosen) = tree.chosen() else {
        return Ok((bytes, 0));
    };
    let text = chosen
        .bootargs()
        .map_err(|_| TreeError::CommandLine)?
        .unwrap_or_default();
    let slot = bytes.get_mut(..text.len()).ok_or(TreeError::CommandLine)?;
    slot.copy_from_slice(text.as_bytes());
    Ok((bytes, text.len()))
}
