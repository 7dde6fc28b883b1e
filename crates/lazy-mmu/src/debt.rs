//! Debt as a type.

use core::fmt;
use core::marker::PhantomData;

/// Something that depends on stores whose barrier is pending, such as a mapping made inside a section.
///
/// The way to the value is the end of the section that made it: return it from the closure of
/// [`TaskMmu::publish`](crate::TaskMmu::publish) or [`Section::publish`](crate::Section::publish), or have
/// it [settled](crate::Section::settle) early, alone or [with others](crate::Section::collect). So the access that runs ahead of its barrier does not
/// compile:
///
/// ```
/// # use lazy_mmu::{Cpu, LazyMmu, Misuse, Section, TaskMmu, Unpublished, V3};
/// # struct ThisCpu;
/// # impl Cpu for ThisCpu { fn publish(&self) {} fn misuse(&self, m: Misuse) { panic!("{m}") } }
/// struct Page(usize);
/// impl Page { fn read(&self) -> usize { self.0 } }
///
/// fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>, at: usize) -> Unpublished<'id, Page> {
///     // ...store the entry, then
///     s.owes(Page(at))
/// }
///
/// let task = TaskMmu::new(V3, ThisCpu);
/// let page = task.publish(|s| map(s, 0x1000));
/// assert_eq!(page.read(), 0x1000);
///
/// let many: Vec<Page> = task.section(|s| {
///     let held: Vec<_> = (0..4).map(|i| map(s, i * 0x1000)).collect();
///     s.collect(held)
/// });
/// assert_eq!(many[3].read(), 0x3000);
/// ```
///
/// Used inside its section:
/// ```compile_fail,E0599
/// # use lazy_mmu::*;
/// # struct Page; impl Page { fn read(&self) {} }
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f(task: &TaskMmu<V3, impl Cpu>) {
/// task.section(|s| map(s).read());
/// # }
/// ```
/// This compiles:
/// ```
/// # use lazy_mmu::*;
/// # struct Page; impl Page { fn read(&self) {} }
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f(task: &TaskMmu<V3, impl Cpu>) {
/// task.section(|s| { let page = map(s); s.settle(page).read() });
/// # }
/// ```
/// Carried out of its section unpublished:
/// ```compile_fail
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f(task: &TaskMmu<V3, impl Cpu>) {
/// let page = task.section(|s| map(s));
/// # }
/// ```
/// This compiles:
/// ```
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f(task: &TaskMmu<V3, impl Cpu>) {
/// let page = task.publish(|s| map(s));
/// # }
/// ```
/// Given out by the end of another section, be it an inner one or another task's:
/// ```compile_fail
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f<C: Cpu>(a: &TaskMmu<V3, C>, b: &TaskMmu<V3, C>) {
/// a.section(|s| {
///     let outer = map(s);
///     let page = b.publish(|inner| outer);
/// });
/// # }
/// ```
/// This compiles:
/// ```
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f<C: Cpu>(a: &TaskMmu<V3, C>, b: &TaskMmu<V3, C>) {
/// a.section(|s| {
///     let outer = map(s);
///     let page = b.publish(|inner| map(inner));
///     let page = s.settle(outer);
/// });
/// # }
/// ```
/// Settled by another section:
/// ```compile_fail
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f<C: Cpu>(a: &TaskMmu<V3, C>, b: &TaskMmu<V3, C>) {
/// a.section(|s| {
///     let outer = map(s);
///     b.section(|inner| inner.settle(outer));
/// });
/// # }
/// ```
/// This compiles:
/// ```
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f<C: Cpu>(a: &TaskMmu<V3, C>, b: &TaskMmu<V3, C>) {
/// a.section(|s| {
///     let outer = map(s);
///     b.section(|inner| { let page = map(inner); inner.settle(page) });
/// });
/// # }
/// ```
/// Collected by another section:
/// ```compile_fail
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f<C: Cpu>(a: &TaskMmu<V3, C>, b: &TaskMmu<V3, C>) {
/// a.section(|s| {
///     let outer = map(s);
///     b.section(|inner| inner.collect::<_, Vec<_>>([outer]));
/// });
/// # }
/// ```
/// This compiles:
/// ```
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f<C: Cpu>(a: &TaskMmu<V3, C>, b: &TaskMmu<V3, C>) {
/// a.section(|s| {
///     let outer = map(s);
///     b.section(|inner| { let held = [map(inner)]; inner.collect::<_, Vec<_>>(held) });
/// });
/// # }
/// ```
/// Zipped with another section's, or put into an array with it:
/// ```compile_fail
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f<C: Cpu>(a: &TaskMmu<V3, C>, b: &TaskMmu<V3, C>) {
/// a.section(|s| {
///     let outer = map(s);
///     b.publish(|inner| map(inner).zip(outer));
/// });
/// # }
/// ```
/// This compiles:
/// ```
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f<C: Cpu>(a: &TaskMmu<V3, C>, b: &TaskMmu<V3, C>) {
/// a.section(|s| {
///     let outer = map(s);
///     b.publish(|inner| map(inner).zip(map(inner)));
///     b.publish(|inner| [map(inner), map(inner)].into());
/// });
/// # }
/// ```
/// ```compile_fail
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f<C: Cpu>(a: &TaskMmu<V3, C>, b: &TaskMmu<V3, C>) {
/// a.section(|s| {
///     let outer = map(s);
///     b.publish(|inner| [map(inner), outer].into());
/// });
/// # }
/// ```
/// Passed off as a shorter-lived section's, for `'id` is a name and not a lifetime:
/// ```compile_fail
/// # use lazy_mmu::Unpublished;
/// fn shorter<'b, 'id: 'b>(page: Unpublished<'id, u8>) -> Unpublished<'b, u8> { page }
/// ```
/// This compiles:
/// ```
/// # use lazy_mmu::Unpublished;
/// fn same<'b, 'id: 'b>(page: Unpublished<'id, u8>) -> Unpublished<'id, u8> { page }
/// ```
/// Collected before the end, by code that would see the plain values:
/// ```compile_fail,E0277
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f<C: Cpu>(a: &TaskMmu<V3, C>, b: &TaskMmu<V3, C>) {
/// a.publish(|s| [map(s), map(s)].into_iter().collect::<Unpublished<Vec<Page>>>());
/// # }
/// ```
/// Sent to another thread, as the section that it belongs to:
/// ```compile_fail,E0277
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f<C: Cpu>(a: &TaskMmu<V3, C>, b: &TaskMmu<V3, C>) {
/// fn sent<T: Send>(_: T) {}
/// a.section(|s| { map(s); sent(s.owes(1)) });
/// # }
/// ```
/// This compiles:
/// ```
/// # use lazy_mmu::*;
/// # struct Page;
/// # fn map<'id>(s: &Section<'_, 'id, impl LazyMmu>) -> Unpublished<'id, Page> { s.owes(Page) }
/// # fn f<C: Cpu>(a: &TaskMmu<V3, C>, b: &TaskMmu<V3, C>) {
/// fn sent<T: Send>(_: T) {}
/// a.section(|s| { map(s); sent(1) });
/// # }
/// ```
/// ```compile_fail,E0277
/// # use lazy_mmu::*;
/// fn sent<T: Send>(_: T) {}
/// # struct ThisCpu;
/// # impl Cpu for ThisCpu { fn publish(&self) {} fn misuse(&self, m: Misuse) {} }
/// # fn f(task: &TaskMmu<V3, ThisCpu>) {
/// sent(task); // It is Sync, and
/// task.section(|s| sent(s));
/// # }
/// ```
/// ```
/// # use lazy_mmu::*;
/// fn sent<T: Send>(_: T) {}
/// # struct ThisCpu;
/// # impl Cpu for ThisCpu { fn publish(&self) {} fn misuse(&self, m: Misuse) {} }
/// # fn f(task: &TaskMmu<V3, ThisCpu>) {
/// sent(task);
/// task.section(|s| sent(1));
/// # }
/// ```
///
/// # What the type cannot promise
/// - It is a lock on the ordinary path, not on every path. Who made the mapping knows its address, and a
///   pointer that was copied before the value was wrapped is not held back.
/// - It holds back the value, not the value's destructor: an `Unpublished` that is dropped drops what is in
///   it, there and then, with the debt still pending. A `Drop` that uses its mapping must not be wrapped.
/// - It takes the kernel's word for whose handler and whose thread this is. Only the task itself, and handlers
///   on top of it, may call on a [`TaskMmu`](crate::TaskMmu); two threads that share one settle each other's
///   debts on the wrong core.
/// - It may hold back longer than needed. An inner section's end, a flush deep in a callee, a pause: each
///   pays for the whole task, outer debt included. The types do not see it; only
///   [`settle`](crate::Section::settle) makes use of it.
/// - It knows nothing of other cores. The pair makes the store visible to all table walkers, but discards
///   speculation on this core alone; another core may take a spurious fault and has to retry.
/// - It does not cover a pair that somebody else pays. Another task's flush on this core happens to
///   publish this task's stores too; an interrupt handler's does. Neither clears this task's debt, and
///   nothing may rely on them.
/// - [`hold`](crate::Section::hold) takes whatever its closure returns. It does not know whether that depends on stores,
///   whether those have owed, and on which task: if none has on this section's, its end has nothing to pay.
#[must_use = "it becomes usable by being returned from the section that made it"]
pub struct Unpublished<'id, T> {
    value: T,
    /// Invariant, as in [`Section`](crate::Section).
    brand: PhantomData<*mut &'id ()>,
}

impl<'id, T> Unpublished<'id, T> {
    pub(crate) fn new(value: T) -> Self {
        Unpublished {
            value,
            brand: PhantomData,
        }
    }

    /// For who has just paid.
    pub(crate) fn into_inner(self) -> T {
        self.value
    }

    /// Both, as one value.
    pub fn zip<U>(self, other: Unpublished<'id, U>) -> Unpublished<'id, (T, U)> {
        Unpublished::new((self.value, other.value))
    }
}

/// An array of what one section has made, as one value. What cannot be an array goes through
/// [`Section::collect`](crate::Section::collect).
impl<'id, T, const N: usize> From<[Unpublished<'id, T>; N]> for Unpublished<'id, [T; N]> {
    fn from(values: [Unpublished<'id, T>; N]) -> Self {
        Unpublished::new(values.map(|u| u.value))
    }
}

/// A failure holds nothing back: it may leave the section as it is, and the success waits for the end.
impl<'id, T, E> From<Result<Unpublished<'id, T>, E>> for Unpublished<'id, Result<T, E>> {
    fn from(result: Result<Unpublished<'id, T>, E>) -> Self {
        Unpublished::new(result.map(|u| u.value))
    }
}

/// What is not there owes nothing.
impl<'id, T> From<Option<Unpublished<'id, T>>> for Unpublished<'id, Option<T>> {
    fn from(option: Option<Unpublished<'id, T>>) -> Self {
        Unpublished::new(option.map(|u| u.value))
    }
}

/// Does not show the value: who has a mapping's address can use it.
impl<T> fmt::Debug for Unpublished<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unpublished(..)")
    }
}
