/* Helper threads: jobs run elsewhere and end on their own loop; the queue is bounded; the end. */
#include "unit.h"

#include <semaphore.h>

#include "auth/helper.h"

struct task {
    struct helper_job job;
    pthread_t ran_on;
    bool ran, done;
    sem_t *gate; /* waited for in run(), when it is set */
    struct loop *stop;
};

static void run_task(struct helper_job *j)
{
    struct task *t = container_of(j, struct task, job);
    if (t->gate != NULL) { (void)sem_wait(t->gate); }
    t->ran = true;
    t->ran_on = pthread_self();
}

static void task_done(struct helper_job *j)
{
    struct task *t = container_of(j, struct task, job);
    t->done = true;
    if (t->stop != NULL) { loop_stop(t->stop); }
}

static struct task task_on(struct loop *l)
{
    return (struct task){.job = {.back = l, .run = run_task, .done = task_done}};
}

TEST(a_job_runs_on_another_thread_and_ends_on_its_loop)
{
    struct loop l;
    loop_init(&l);
    struct helper *h = helper_new(2, 10);
    struct task t = task_on(&l);
    t.stop = &l;
    CHECK(helper_ask(h, &t.job) == E_OK);
    loop_run(&l);
    CHECK(t.ran && t.done && pthread_equal(t.ran_on, pthread_self()) == 0);
    helper_free(&h, 1000000);
    CHECK(h == NULL);
    loop_done(&l);
}

TEST(too_many_waiting_jobs_are_refused)
{
    struct loop l;
    sem_t gate;
    CHECK(sem_init(&gate, 0, 0) == 0);
    loop_init(&l);
    struct helper *h = helper_new(1, 2);
    struct task tasks[16];
    unsigned taken = 0, refused = 0;
    for (unsigned i = 0; i < 16; i++) {
        tasks[i] = task_on(&l);
        tasks[i].gate = &gate;
        if (helper_ask(h, &tasks[i].job) == E_OK) {
            taken++;
        } else {
            refused++;
        }
    }
    CHECK(taken >= 2 && taken <= 3 && refused == 16 - taken); /* two wait, one may run already */
    for (unsigned i = 0; i < taken; i++) { (void)sem_post(&gate); }
    helper_free(&h, 5000000);
    loop_done(&l);
    for (unsigned i = 0; i < taken; i++) { CHECK(tasks[i].done); }
    (void)sem_destroy(&gate);
}

TEST(jobs_that_wait_at_the_end_are_done_without_being_run)
{
    struct loop l;
    sem_t gate;
    CHECK(sem_init(&gate, 0, 0) == 0);
    loop_init(&l);
    struct helper *h = helper_new(1, 10);
    struct task first = task_on(&l), second = task_on(&l);
    first.gate = &gate;
    CHECK(helper_ask(h, &first.job) == E_OK);
    CHECK(helper_ask(h, &second.job) == E_OK);
    (void)sem_post(&gate); /* second may be run or not: it is done in any case */
    helper_free(&h, 5000000);
    loop_done(&l);
    CHECK(first.done && second.done);
    (void)sem_destroy(&gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_job_runs_on_another_thread_and_ends_on_its_loop),
        RUN(too_many_waiting_jobs_are_refused),
        RUN(jobs_that_wait_at_the_end_are_done_without_being_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
