//! `task!` with captures of all forms.

use flame_actors::{remote, task};
use tokio::sync::Mutex;

use crate::pool;

#[remote]
async fn increment(number: u64) -> u64 {
    number + 1
}

#[tokio::test]
async fn a_block_takes_variables_along() {
    let pool = pool("captures").await;
    let text = "some".to_owned();
    let count = 3_usize;
    let repeated = pool.call(task!([text: String, count: usize] -> String { text.repeat(count) })).await;
    assert_eq!(repeated, Ok("somesomesome".to_owned()));
    pool.shutdown().await;
}

#[tokio::test]
async fn a_capture_may_be_an_expression_and_mutable() {
    let pool = pool("expressions").await;
    let start = 5_u64;
    let task = task!([mut sum: u64 = start + 1, numbers: Vec<u64> = vec![1, 2]] -> u64 {
        for number in numbers {
            sum += increment(number).await;
        }
        sum
    });
    assert_eq!(pool.call(task).await, Ok(11));
    assert_eq!(start, 5);
    pool.shutdown().await;
}

#[tokio::test]
async fn the_last_capture_may_have_a_comma() {
    let pool = pool("comma").await;
    let number = 1_u8;
    assert_eq!(pool.call(task!([number: u8,] -> u8 { number })).await, Ok(1));
    pool.shutdown().await;
}

static RAN: Mutex<u8> = Mutex::const_new(0);

#[tokio::test]
async fn a_block_without_captures_and_result_runs() {
    let pool = pool("no-result").await;
    task!([] {}).await;
    pool.call(task!([] { *RAN.lock().await += 1; })).await.unwrap();
    assert_eq!(*RAN.lock().await, 1);
    pool.shutdown().await;
}

#[tokio::test]
async fn return_and_question_mark_leave_the_block() {
    let pool = pool("leave-the-block").await;
    for (number, expected) in [(5, Ok(5)), (1, Err("one")), (1000, Err("large"))] {
        let task = task!([number: u64] -> Result<u8, String> {
            let small = u8::try_from(number).map_err(|_| "large")?;
            if small == 1 {
                return Err("one".to_owned());
            }
            Ok(small)
        });
        assert_eq!(pool.call(task).await.unwrap(), expected.map_err(str::to_owned));
    }
    pool.shutdown().await;
}

#[tokio::test]
async fn a_block_may_hold_another() {
    let pool = pool("nested").await;
    let outer = 1_u8;
    let task = task!([outer: u8] -> (u8, u8) {
        let inner = outer + 1;
        (outer, task!([inner: u8] -> u8 { inner * 10 }).await)
    });
    assert_eq!(pool.call(task).await, Ok((1, 20)));
    pool.shutdown().await;
}

#[tokio::test]
async fn two_blocks_on_one_line_are_two_tasks() {
    let pool = pool("one-line").await;
    let (one, two) = (task!([] -> u8 { 1 }), task!([] -> u8 { 2 }));
    assert_eq!((pool.call(one).await, pool.call(two).await), (Ok(1), Ok(2)));
    pool.shutdown().await;
}
