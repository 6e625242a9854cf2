/* One hop at a time. */
#include "admin/tour.h"

static void end(struct tour *t)
{
    struct registry *r = t->home->registry;
    t->drop(t);
    registry_let_go(r);
}

static void open_home(struct letter *l)
{
    struct tour *t = container_of(l, struct tour, letter);
    struct office *o = t->home->office;
    struct session *s = o == NULL ? NULL : session_find(o, t->session_id);
    if (s != NULL) { t->back(t, s); }
    end(t);
}

static void open_visit(struct letter *l)
{
    struct tour *t = container_of(l, struct tour, letter);
    struct front *f = t->fronts[t->next++];
    if (f->office == NULL) {
        end(t);
        return;
    }
    t->visit(t, f);
    bool last = t->next == t->fronts_count;
    if (last) { l->open = open_home; }
    loop_post(last ? t->home->loop : t->fronts[t->next]->loop, l);
}

void tour_start(struct tour *t, struct session *s)
{
    struct office *o = s->office;
    t->fronts = o->fronts;
    t->fronts_count = o->fronts_count;
    t->home = o->front;
    t->session_id = s->id;
    t->letter.open = open_visit;
    registry_hold(t->home->registry); /* accounts it has met are asked for at home again */
    loop_post(t->fronts[0]->loop, &t->letter);
}
