//! Does a node live on smol alone?

#[path = "../examples/smol.rs"]
mod example;

/// Threads of async-std's own executor in this process.
#[cfg(target_os = "linux")]
fn executor_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has it").flatten();
    tasks.filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("async-std/"))).count()
}

#[test]
fn a_node_on_smol_starts_nothing_of_async_stds_executor() {
    example::main().expect("the example runs");
    #[cfg(target_os = "linux")]
    {
        assert_eq!(executor_threads(), 0);
        async_std::task::block_on(async_std::task::spawn(async {}));
        assert!(executor_threads() > 0, "they are seen where they are");
    }
}
