/* A locked queue and threads that sleep on it. */
#include "auth/helper.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

enum { THREADS_MOST = 16, STACK = 2 << 20 };

/* Not struct lock: a condition needs the bare mutex. Nothing else is locked under it but, like
 * everywhere, a mailbox. */
struct helper {
    pthread_mutex_t mutex;
    pthread_cond_t wake;  /* a job waits, or closing */
    pthread_cond_t ended; /* a thread has */
    struct dlist jobs;    /* that wait: their letters */
    unsigned waiting, most_waiting, idle, alive, threads;
    bool closing;
    pthread_attr_t attributes;
    pthread_t started[THREADS_MOST]; /* `alive` of them, until closing */
};

struct helper *helper_new(unsigned threads, unsigned most_waiting)
{
    struct helper *h = mem_new(struct helper);
    assert(threads > 0 && threads <= THREADS_MOST);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&h->mutex, NULL);
    (void)pthread_cond_init(&h->wake, NULL);
    (void)pthread_cond_init(&h->ended, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_attr_init(&h->attributes);
    (void)pthread_attr_setstacksize(&h->attributes, STACK);
    dlist_init(&h->jobs);
    h->threads = threads;
    h->most_waiting = most_waiting;
    return h;
}

static void open_done(struct letter *l)
{
    struct helper_job *j = container_of(l, struct helper_job, letter);
    j->done(j);
}

static void *work(void *arg)
{
    struct helper *h = arg;
    (void)pthread_mutex_lock(&h->mutex);
    for (;;) {
        struct dlist *node = dlist_pop_front(&h->jobs);
        if (node == NULL && h->closing) { break; }
        if (node == NULL) {
            h->idle++;
            (void)pthread_cond_wait(&h->wake, &h->mutex);
            h->idle--;
            continue;
        }
        h->waiting--;
        struct helper_job *j =
            container_of(container_of(node, struct letter, node), struct helper_job, letter);
        if (!h->closing) {
            (void)pthread_mutex_unlock(&h->mutex);
            j->run(j);
            (void)pthread_mutex_lock(&h->mutex);
        }
        j->letter.open = open_done;
        loop_post(j->back, &j->letter); /* under the mutex: the loops outlive helper_free() */
    }
    h->alive--;
    (void)pthread_cond_signal(&h->ended);
    (void)pthread_mutex_unlock(&h->mutex);
    return NULL;
}

/* Signals are the control thread's. Under the mutex. */
static bool start_thread(struct helper *h)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&h->started[h->alive], &h->attributes, work, h) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    h->alive += started;
    return started;
}

enum err helper_ask(struct helper *h, struct helper_job *j)
{
    enum err e = E_OK;
    (void)pthread_mutex_lock(&h->mutex);
    bool busy = h->idle <= h->waiting;
    if (busy && h->alive < h->threads) { (void)start_thread(h); }
    if (h->waiting >= h->most_waiting || h->alive == 0 || h->closing) {
        e = E_LIMIT;
    } else {
        dlist_push_back(&h->jobs, &j->letter.node);
        h->waiting++;
        (void)pthread_cond_signal(&h->wake);
    }
    (void)pthread_mutex_unlock(&h->mutex);
    return e;
}

void helper_free(struct helper **ph, int64_t wait_us)
{
    struct helper *h = *ph;
    *ph = NULL;
    if (h == NULL) { return; }
    int64_t until_us = clock_now_us() + wait_us;
    const struct timespec until = {.tv_sec = (time_t)(until_us / US_PER_S),
                                   .tv_nsec = (long)(until_us % US_PER_S * 1000)};
    (void)pthread_mutex_lock(&h->mutex);
    h->closing = true;
    const unsigned started = h->alive;
    (void)pthread_cond_broadcast(&h->wake);
    while (h->alive > 0 && pthread_cond_timedwait(&h->ended, &h->mutex, &until) != ETIMEDOUT) {}
    bool left = h->alive > 0;
    /* A thread that still runs would find the loops gone: it never gets the mutex again. */
    if (left) { return; }
    (void)pthread_mutex_unlock(&h->mutex);
    for (unsigned i = 0; i < started; i++) { (void)pthread_join(h->started[i], NULL); }
    (void)pthread_mutex_destroy(&h->mutex);
    (void)pthread_cond_destroy(&h->wake);
    (void)pthread_cond_destroy(&h->ended);
    (void)pthread_attr_destroy(&h->attributes);
    mem_free(&h);
}
