/*
 * The protocol of diptych as a model: truth with its outbox, the graph, writers, relays, check, repair, rebuild,
 * the collection of tombstones, and a network that loses, delays and duplicates what goes to the graph.
 *
 * One file, several scenarios: check.py says which parts (-D) make a scenario and how large it is. Each macro NO_… takes
 * one guard out; README.md has the table of what then goes wrong. A step in `atomic` is one that the stores make
 * atomic: one transaction of truth, or one of the graph. Whatever lies between two steps may take for ever.
 *
 * A crash needs no step of its own: a process that died is one that never takes its next step, and "the answer is
 * lost" sends each process to where a new one would begin. Leases have no meaning but in scenario LEASES: elsewhere a
 * relay claims whenever it likes, as the design says that it may.
 *
 * The comment behind each assert names the property: check.py reads it.
 */

#ifndef MEMORIES
#define MEMORIES 1
#endif
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef OPS
#define OPS 2      /* operations of each writer */
#endif
#ifndef RELAYS
#define RELAYS 1
#endif
#ifndef LATE
#define LATE 1     /* graph writes that can be under way without anybody waiting for them */
#endif
#ifndef PASSES
#define PASSES 1   /* memories that a check, or a repair, looks at */
#endif

/* Processes that may hold what they have read of truth, and write it into the graph later. */
#define RUN (WRITERS + RELAYS)
#define HOLDERS (WRITERS + RELAYS + 1)

/* What the graph has of a memory, and what it answers to a write (ports/graph.py, Verdict). */
#define GONE 0
#define LIVE 1
#define TOMB 2
#define LOST 0     /* no answer: not sent, refused, late, or done and the answer lost; whoever waits cannot tell (I7) */
#define DONE 1     /* applied, or the same */
#define NEWER 2

/* ---- the guards that are conditions ---------------------------------------------------------------------------- */

/* settle: only while entry and version are still these */
#ifdef NO_SETTLE_ENTRY
#define SAME_ENTRY(m, id) true
#else
#define SAME_ENTRY(m, id) (o_id[m] == id)
#endif
#ifdef NO_SETTLE_VERSION
#define SAME_VERSION(m, v) true
#else
#define SAME_VERSION(m, v) (o_ver[m] == v)
#endif

/* postpone: only while the claim is still ours */
#ifdef NO_CLAIM_FENCE
#define STILL_CLAIMED true
#else
#define STILL_CLAIMED (e_claim == token)
#endif

/* an attempt that ended in an outage is not counted */
#ifdef NO_GIVE_BACK
#define GIVE_BACK skip
#else
#define GIVE_BACK e_attempts--
#endif

/* a rollback: only while truth still is at our version */
#ifdef NO_ROLLBACK_CONDITION
#define STILL_OURS(m, v) true
#else
#define STILL_OURS(m, v) (t_ver[m] == v)
#endif

/* the graph: a live node accepts >=, a tombstone only > */
#ifdef NO_VERSION_CONDITION
#define IS_NEWER(m, v) false
#define IS_SAME(m, v, lives, force) false
#else
#define IS_NEWER(m, v) (g_st[m] != GONE && g_ver[m] > v)
#define IS_SAME(m, v, lives, force) \
  (g_st[m] != GONE && g_ver[m] == v && !force && (g_st[m] == LIVE) == lives && !IS_GRAVE_OF(m, v, lives))
#endif
#ifdef NO_TOMBSTONE_ABOVE
#define IS_GRAVE_OF(m, v, lives) false
#else
#define IS_GRAVE_OF(m, v, lives) (g_st[m] == TOMB && g_ver[m] == v && lives)
#endif

/* tombstones: collected once settled; in the graph and in truth only where still the same */
#ifdef NO_SETTLED
#define SETTLED(m) true
#else
#define SETTLED(m) (!o_listed[m])
#endif
#ifdef NO_COLLECT_CONDITION
#define SAME_GRAVE(m, v) (g_st[m] != GONE)
#else
#define SAME_GRAVE(m, v) (g_st[m] == TOMB && g_ver[m] <= v)
#endif
#ifdef NO_COLLECT_FILTER
#define SAME_TOMBSTONE(m, v) (t_ver[m] != 0)
#else
#define SAME_TOMBSTONE(m, v) (t_ver[m] == v && !t_live[m] && SETTLED(m))
#endif

/* Whose reads of truth are bounded by less than the age of a tombstone. */
#ifdef NO_BOUND_FROM_THE_READ
#define BOUND_WRITES(p) (p < WRITERS)
#else
#define BOUND_WRITES(p) true
#endif
#ifdef NO_CHECK_WITHIN_AGE
#define BOUND_CHECK(p) (p != RUN)
#else
#define BOUND_CHECK(p) true
#endif
#define BOUND(p) (BOUND_WRITES(p) && BOUND_CHECK(p))

/* ---- truth ------------------------------------------------------------------------------------------------- */

byte t_ver[MEMORIES];       /* version of the memory or of its tombstone; 0: neither is there */
bit t_live[MEMORIES];
byte floor;                 /* store_info.floor */

/* The outbox: one entry a memory (ports/outbox.py, OutboxEntry). An id is never used twice. */
bit o_listed[MEMORIES];
byte o_id[MEMORIES];
byte o_ver[MEMORIES];
bit o_forced[MEMORIES];
bit o_blind[MEMORIES];      /* only where NO_FRESH_LOOK: to be deleted at this version without looking at truth */
byte o_next[MEMORIES];

/* ---- the graph --------------------------------------------------------------------------------------------- */

byte g_ver[MEMORIES];
byte g_st[MEMORIES];
bit g_torn[MEMORIES];       /* its edges are not those that it should own: somebody changed them behind our back */
bit g_stamp[MEMORIES];      /* stamped with the generation of the rebuild under way */

/* Writes that are under way with nobody waiting: sent by one who gave up or died, or sent twice. */
byte l_ver[LATE];           /* 0: none */
byte l_of[LATE];
bit l_live[LATE];
bit l_force[LATE];
bit l_stamp[LATE];

/* Leases and attempts. */

#ifdef LEASES
byte e_claim;               /* the fencing token of the last claim (here: 1 + its relay's number); 0: given back */
bit e_leased;               /* a lease runs */
bit e_dead;
byte e_attempts;
bit leased[HOLDERS];        /* whether this relay's own lease still runs, as the clock would say */
byte counted;               /* attempts that were not given back, as they should be counted */
#endif

/* ---- what the properties are said in, and no process may look at ------------------------------------------------ */

byte top[MEMORIES];         /* highest version ever given to the memory */
byte said[MEMORIES];        /* version at which truth's content was first written: a rollback goes back in it */
byte acked[MEMORIES];       /* highest version that a caller was told is stored */
bit touched[MEMORIES];      /* somebody changed a store behind our back, and nothing has mended it yet */
byte told[MEMORIES];       /* bits of the writers whose updates are in truth's content (scenario UPDATES) */
byte held[HOLDERS];         /* 1 + the version that a process has read of truth and may still write; 0: none */
byte held_of[HOLDERS];
byte clearing;              /* the record in `runs` of a rebuild that empties the graph first: 1 unfinished, 2 finished */
byte busy;                  /* writers and runs that are not through */

#define OUT_OF_STEP(m) \
  ((t_live[m] && !(g_st[m] == LIVE && g_ver[m] == t_ver[m] && !g_torn[m])) || (!t_live[m] && g_st[m] == LIVE))
#define UNDER_A_RUN(m) (clearing == 1 && m == 0)
#define UNSEEN(m) (OUT_OF_STEP(m) && !o_listed[m] && !touched[m] && !UNDER_A_RUN(m))

/* Looked at after every step that changes a store. */
inline audit(a) {
  if :: !OUT_OF_STEP(a) -> touched[a] = 0 :: else fi;
  assert(said[a] >= acked[a]);                                               /* I1 nothing acknowledged is lost */
  assert(!(UNSEEN(a) && !t_live[a]));                                        /* I5 a deleted memory stays deleted */
  assert(!UNSEEN(a))                                                         /* I2 nothing is in doubt unseen */
}

/* ---- steps of truth: one transaction each ---------------------------------------------------------------------- */

/* The guard of every write (vector/memory/guard.py, judge_writes in SQL): version, row, outbox entry. The clock is the
 * worst there can be, one that always stands below every version given before: so versions come from what is stored. */
inline next_version(m, above) {
  ver = (t_ver[m] > floor -> t_ver[m] : floor);
  ver = 1 + (above > ver -> above : ver)
}

#ifdef LEASES
#define FRESH_ENTRY e_claim = 0; e_leased = 0; e_dead = 0; e_attempts = 0; counted = 0; leased[WRITERS] = 0; leased[RUN - 1] = 0
#else
#define FRESH_ENTRY skip
#endif

inline list_it(m) {
  FRESH_ENTRY;
  o_next[m]++;
  o_id[m] = o_next[m];
  o_ver[m] = ver;
  if :: !o_listed[m] -> o_forced[m] = 0 :: else fi;   /* an entry that is there is taken over, forced as it was */
  o_blind[m] = 0;
  o_listed[m] = 1
}

inline write_truth(m, lives, content) {
  assert(ver > top[m]);                                                      /* I3 versions grow, across deletes too */
  top[m] = ver;
  t_ver[m] = ver; t_live[m] = lives; said[m] = content;
#ifndef NO_OUTBOX_IN_THE_WRITE
  list_it(m);
#endif
  audit(m)
}

/* Settle: an entry goes only while id and version are still these (vector/memory/outbox.py, _settle). */
inline settle(m, with_id, with_ver) {
  if
  :: o_listed[m] && SAME_ENTRY(m, with_id) && SAME_VERSION(m, with_ver) ->
        o_listed[m] = 0; o_id[m] = 0; o_ver[m] = 0; o_forced[m] = 0; o_blind[m] = 0; FRESH_ENTRY;
        printf("  the entry of m%d is settled\n", m);
        audit(m)
  :: else
  fi
}

/* What a check or a rebuild found in doubt is listed, forced (vector/memory/checking.py, _enlist): not what is listed
 * already; of what truth knows nothing a tombstone is left, at the version that the graph was seen at. */
inline enlist(m, seen_ver, orphan) {
  if
  :: !o_listed[m] ->
     ver = seen_ver;
     list_it(m);
     o_forced[m] = 1;
#ifdef NO_FRESH_LOOK
     o_blind[m] = orphan;
#endif
     if :: t_ver[m] == 0 -> t_ver[m] = seen_ver; t_live[m] = 0 :: else fi;
     printf("  m%d is listed for repair at %d\n", m, seen_ver);
     audit(m)
  :: else
  fi
}

/* ---- steps of the graph: one transaction each, under the lock of the memory's node --------------------------------- */

/* graph/memory/tenant.py, judge; graph/neo4j/cypher/apply.cypher. Sets `ack`. */
inline apply(m, v, lives, force, stamp) {
  if
  :: IS_NEWER(m, v) || IS_GRAVE_OF(m, v, lives) -> ack = NEWER
  :: IS_SAME(m, v, lives, force) -> ack = DONE
  :: else ->
     ack = DONE;
     g_ver[m] = v; g_torn[m] = 0; g_stamp[m] = stamp;
     g_st[m] = (lives -> LIVE : TOMB);
#ifdef NO_TOMBSTONE
     if :: !lives -> g_st[m] = GONE; g_ver[m] = 0; g_stamp[m] = 0 :: else fi;
#endif
     audit(m)
  fi
}

inline late(m, v, lives, force, stamp) {
  if
  :: l_ver[0] == 0 -> k = 0
#if LATE > 1
  :: l_ver[0] != 0 && l_ver[1] == 0 -> k = 1
#endif
  fi;
  l_of[k] = m; l_ver[k] = v; l_live[k] = lives; l_force[k] = force; l_stamp[k] = stamp; k = 0
}

#if LATE > 1
#define ROOM (l_ver[0] == 0 || l_ver[1] == 0)
#define STILL (l_ver[0] == 0 && l_ver[1] == 0)
#else
#define ROOM (l_ver[0] == 0)
#define STILL (l_ver[0] == 0)
#endif

#ifdef LIVENESS
bit calm;                   /* from some moment on nothing fails any more */
#define MISHAP (!calm)
#else
#define MISHAP true
#endif

/* Send a write to the graph and wait for its answer (gates.py, GraphGate.apply). */
inline send(me, m, v, lives, force, stamp) {
  atomic {
    if
    :: apply(m, v, lives, force, stamp); printf("  the graph: m%d at %d, live %d: answer %d\n", m, v, lives, ack)
    :: MISHAP -> ack = LOST; printf("  lost or given up: m%d at %d\n", m, v)
    :: MISHAP -> apply(m, v, lives, force, stamp); ack = LOST; printf("  the graph has m%d at %d, the answer is lost\n", m, v)
    :: MISHAP && ROOM -> late(m, v, lives, force, stamp); ack = LOST; printf("  given up, but on its way: m%d at %d\n", m, v)
    :: MISHAP && ROOM -> apply(m, v, lives, force, stamp); late(m, v, lives, force, stamp);
       printf("  the graph: m%d at %d, live %d: answer %d; and it comes once more\n", m, v, lives, ack)
    fi;
    held[me] = 0; held_of[me] = 0
  }
}

#if MEMORIES > 1
#define LISTED (o_listed[0] || o_listed[1])
#define SOME(m) if :: m = 0 :: m = 1 fi
#else
#define LISTED (o_listed[0])
#define SOME(m) m = 0
#endif
#ifdef LEASES
#define CLAIMABLE (!e_leased && !e_dead)
#define QUIET (!o_listed[0] || e_dead)
#else
#define CLAIMABLE true   /* leases are for efficiency: a relay may claim at any instant */
#define QUIET (!LISTED)
#endif

proctype Network() {
  byte i, ack;
end:
  do
  :: atomic { !STILL ->
       if
       :: l_ver[0] != 0 -> i = 0
#if LATE > 1
       :: l_ver[1] != 0 -> i = 1
#endif
       fi;
       if
       :: apply(l_of[i], l_ver[i], l_live[i], l_force[i], l_stamp[i]);
          printf("late: m%d at %d, live %d: answer %d\n", l_of[i], l_ver[i], l_live[i], ack)
       :: true   /* it never arrives, or after its not_after, when the graph refuses it */
       fi;
       l_of[i] = 0; l_ver[i] = 0; l_live[i] = 0; l_force[i] = 0; l_stamp[i] = 0; i = 0; ack = 0 }
  od
}

/* ---- writers: persistence/writing.py ----------------------------------------------------------------------------- */

proctype Writer(byte me) {
  byte n, m, ver, id, ack, k, read_ver, former, base;
  bit lives, was;
  n = OPS;
next:
  do
  :: n == 0 -> break
  :: n > 0 ->
     n--;
#ifdef NO_DURABLE_TRUTH
     /* The caller is told first; then the process dies, or truth is written. */
     atomic { ver = 1 + (t_ver[0] > floor -> t_ver[0] : floor); acked[0] = ver }
     if :: true -> atomic { audit(0); ver = 0; goto next } :: true fi;
#endif
#ifdef UPDATES
     /* An update says which version it was made from (expected_version). */
     atomic { read_ver = t_ver[0]; base = told[0] }
#endif
#ifdef NO_ROW_LOCK
     SOME(m);
     atomic { next_version(m, 0) }
#endif
     atomic {
#ifndef NO_ROW_LOCK
       SOME(m);
       next_version(m, 0);
#endif
       was = t_live[m]; former = said[m];
#ifdef UPDATES
       if
#ifndef NO_EXPECTED_VERSION
       :: t_ver[0] != read_ver -> ver = 0; read_ver = 0; base = 0; goto next   /* VersionConflictError */
#endif
       :: else -> skip
       fi;
       lives = 1;
       assert((told[0] & (base | (1 << me))) == told[0]);                  /* I1 no update is lost to another */
       told[0] = base | (1 << me); read_ver = 0; base = 0;
#else
       if
       :: lives = 1
       :: t_live[m] -> lives = 0
#ifdef REWRITES
       :: n < OPS - 1 -> ver = 0; n = 0; goto next
#endif
       fi;
#endif
       held[me] = ver + 1; held_of[me] = m;
       printf("writer %d: m%d at %d, live %d\n", me, m, ver, lives);
       write_truth(m, lives, ver);
       id = o_id[m];
#ifndef ROLLBACK
       acked[m] = (acked[m] > ver -> acked[m] : ver)
#endif
     }
#ifdef NO_OUTBOX_IN_THE_WRITE
     if
     :: true -> atomic { list_it(m); id = o_id[m] }
     :: true -> atomic { audit(m); held[me] = 0; goto done }
     fi;
#endif
again:
     send(me, m, ver, lives, 0, 0);
     if
     :: atomic { ack == DONE -> ack = 0 };
#ifdef ROLLBACK
        atomic { if :: said[m] >= ver -> acked[m] = (acked[m] > ver -> acked[m] : ver) :: else fi }
#endif
        /* settling.py: later, in a group; or never, where the process dies first */
        if
        :: atomic { settle(m, id, ver) }
        :: MISHAP
        fi
     :: atomic { ack == NEWER -> ack = 0;
          /* _overtaken: somebody wrote since, or truth is an old copy and goes above what the graph has */
          if
          :: t_ver[m] == ver && g_ver[m] >= ver ->
             k = g_ver[m]; next_version(m, k); k = 0;
             held[me] = ver + 1; held_of[me] = m;
             printf("writer %d: truth goes above the graph, m%d at %d\n", me, m, ver);
             write_truth(m, lives, said[m]); id = o_id[m];
             goto again
          :: else
          fi }
     :: atomic { ack == LOST ->
#ifdef NO_UNKNOWN_OUTCOME
          settle(m, id, ver)
#endif
#ifdef ROLLBACK
          /* _undo: only while truth still is at our version, above it, with an entry of its own */
          if
          :: STILL_OURS(m, ver) ->
                next_version(m, 0);
                printf("writer %d: rolls back, m%d at %d\n", me, m, ver);
                write_truth(m, was, former)
          :: else
          fi
#endif
        }
     fi;
done:
     atomic { m = 0; ver = 0; id = 0; ack = 0; lives = 0; was = 0; former = 0 }
  od;
  busy--
}

/* ---- relays: persistence/relay.py --------------------------------------------------------------------------------- */

#ifdef LEASES
proctype Clock() {
end:
  do
  :: atomic { e_leased && e_attempts <= ATTEMPTS -> e_leased = 0; leased[WRITERS] = 0;
#if RELAYS > 1
       leased[WRITERS + 1] = 0;
#endif
       printf("the lease is over\n") }
  od
}

/* _postpone: only while the claim is still ours. */
inline postpone(is_dead, outage) {
  if
  :: o_listed[0] && o_id[0] == id && !e_dead && STILL_CLAIMED ->
        e_claim = 0; e_leased = 0; leased[me] = 0; e_dead = is_dead;
        if :: outage && e_attempts > 0 -> GIVE_BACK; counted-- :: else fi;
        printf("relay %d: gives back, dead %d\n", me, is_dead);
        assert(!(is_dead) || counted >= ATTEMPTS)                            /* D an outage makes no dead entry */
  :: else
  fi
}
#endif

proctype Relay(byte me) {
  byte m, id, at, ver, read_ver, ack, k;
  bit lives, force, known;
#ifdef LEASES
  byte token, attempt;
#endif
  do
#ifdef NO_READ_AFTER_CLAIM
  :: atomic { LISTED && read_ver == 0 -> SOME(m); read_ver = t_ver[m]; lives = t_live[m] };
     if :: atomic { o_listed[m] -> id = o_id[m]; at = o_ver[m]; force = o_forced[m] } :: !o_listed[m] -> goto out fi;
#else
  :: atomic { LISTED && CLAIMABLE ->
       if
       :: o_listed[0] -> m = 0
#if MEMORIES > 1
       :: o_listed[1] -> m = 1
#endif
       fi;
#ifdef LEASES
       token = me + 1; e_claim = token; e_leased = 1; e_attempts++; attempt = e_attempts; counted++;
       assert(!leased[WRITERS] && !leased[RUN - 1]);                         /* L a lease is its holder's alone */
       leased[me] = 1;
#endif
       id = o_id[m]; at = o_ver[m]; force = o_forced[m];
       printf("relay %d: claims m%d, entry %d\n", me, m, id) }
     /* _jobs: what truth is now, whatever the entry says */
     atomic {
       read_ver = t_ver[m]; lives = t_live[m];
#ifdef NO_FRESH_LOOK
       if :: o_listed[m] && o_id[m] == id && o_blind[m] -> read_ver = at; lives = 0 :: else fi;
#endif
#ifdef NO_ERROR_APART
       /* Truth could not be read, and that is taken for "there is nothing". */
       if :: true :: true -> read_ver = 0; lives = 0; printf("relay %d: truth does not answer\n", me) fi;
#endif
       printf("relay %d: reads m%d at %d, live %d\n", me, m, read_ver, lives);
       held[me] = (read_ver == 0 -> at : read_ver) + 1; held_of[me] = m }
#endif
     known = read_ver != 0;
     ver = (known -> read_ver : at);
bring_up:
     send(me, m, ver, lives, force, 0);
     if
     :: atomic { ack == DONE -> settle(m, id, at);
#ifdef LEASES
          leased[me] = 0
#endif
        }
     :: atomic { ack == NEWER ->
          if
          :: !known && t_ver[m] == 0 -> ver = g_ver[m]; ack = 0; goto bring_up
          :: known && t_ver[m] == read_ver ->
             k = g_ver[m]; next_version(m, k); k = 0;
             printf("relay %d: truth goes above the graph, m%d at %d\n", me, m, ver);
             write_truth(m, lives, said[m])
          :: else
          fi }
     :: atomic { ack == LOST ->
#ifdef NO_UNKNOWN_OUTCOME
          settle(m, id, at)
#endif
#ifdef LEASES
          if
          :: e_attempts <= ATTEMPTS                   /* it dies here: its lease runs on, its attempt counts */
          :: skip; postpone(0, 1)                     /* an outage */
          :: skip; postpone(attempt >= ATTEMPTS, 0)   /* the graph refuses this very memory */
          fi
#endif
        }
     fi;
out:
     atomic { m = 0; id = 0; at = 0; ver = 0; read_ver = 0; ack = 0; lives = 0; force = 0; known = 0;
       held[me] = 0; held_of[me] = 0;
#ifdef LEASES
       token = 0; attempt = 0
#endif
     }
  :: STILL && busy == 0 && QUIET ->
     break
  od;
#ifndef LEASES
  atomic {
    assert(!OUT_OF_STEP(0));                                                 /* Q quiet leads to in step */
#if MEMORIES > 1
    assert(!OUT_OF_STEP(1))                                                  /* Q quiet leads to in step */
#endif
  }
#endif
}

/* ---- old tombstones: relay.py, collect; vector/qdrant/tombstones.py (in steps; elsewhere one transaction) ------------- */

#ifdef COLLECT
/* A tombstone is old where nothing can be under way that was read before it was made. That is what the age stands for:
 * a write carries not_after, and what holds a read of truth lets go of it within a bound. */
#define HOLDS(p, m) (held[p] != 0 && held_of[p] == m && held[p] <= t_ver[m] && BOUND(p))
#define UNDER_WAY(i, m) (l_ver[i] != 0 && l_of[i] == m && l_ver[i] < t_ver[m])
#if LATE > 1
#define ANY_UNDER_WAY(m) (UNDER_WAY(0, m) || UNDER_WAY(1, m))
#else
#define ANY_UNDER_WAY(m) UNDER_WAY(0, m)
#endif
#if HOLDERS > 4
#define ANY_HOLDS(m) (HOLDS(0, m) || HOLDS(1, m) || HOLDS(2, m) || HOLDS(3, m) || HOLDS(4, m))
#elif HOLDERS > 3
#define ANY_HOLDS(m) (HOLDS(0, m) || HOLDS(1, m) || HOLDS(2, m) || HOLDS(3, m))
#else
#define ANY_HOLDS(m) (HOLDS(0, m) || HOLDS(1, m) || HOLDS(2, m))
#endif
#ifdef NO_AGE
#define OLD(m) true
#else
#define OLD(m) (!ANY_UNDER_WAY(m) && !ANY_HOLDS(m))
#endif
#define DUE(m) (t_ver[m] != 0 && !t_live[m] && SETTLED(m) && OLD(m))

proctype Collector() {
  byte n, m, ver;
  n = COLLECT;
end:
  do
  :: atomic { n > 0 && DUE(0) -> m = 0; ver = t_ver[m]; n-- };
     /* the graph's first: still a tombstone, at no higher version */
     atomic {
       if
       :: SAME_GRAVE(m, ver) ->
          g_st[m] = GONE; g_ver[m] = 0; g_stamp[m] = 0; printf("collect: m%d leaves the graph\n", m); audit(m)
       :: else
       fi }
#ifdef NO_FLOOR
     skip;
#else
#ifndef NO_FLOOR_FIRST
     atomic { if :: t_ver[m] == ver && !t_live[m] && floor < ver -> floor = ver; printf("collect: the floor is %d\n", ver) :: else fi }
#endif
#endif
     atomic {
       if
       :: SAME_TOMBSTONE(m, ver) ->
          if :: !t_live[m] -> acked[m] = 0 :: else fi;   /* a delete that is done needs no remembering */
          t_ver[m] = 0; t_live[m] = 0; said[m] = 0; printf("collect: m%d leaves truth\n", m);
          audit(m)
       :: else
       fi }
#ifdef NO_FLOOR_FIRST
     atomic { if :: floor < ver -> floor = ver :: else fi }
#endif
     ver = 0
  od
}
#endif

/* ---- what happens behind our back --------------------------------------------------------------------------------- */

#ifdef DRIFT
proctype Vandal() {
  byte ack;
  if
  :: atomic { g_st[0] == LIVE -> g_st[0] = GONE; g_ver[0] = 0; g_stamp[0] = 0; printf("vandal: m0 is out of the graph\n"); touched[0] = 1 }
  :: atomic { g_st[0] == LIVE -> g_torn[0] = 1; printf("vandal: m0 has lost its edges in the graph\n"); touched[0] = 1 }
  :: atomic { g_st[0] == LIVE -> g_ver[0] = g_ver[0] + 8; printf("vandal: the graph is ahead with m0\n"); touched[0] = 1 }
  :: atomic { t_live[0] && !o_listed[0] ->           /* an old copy of truth is put in place, by `restore` */
       t_ver[0] = 0; t_live[0] = 0; said[0] = 0; acked[0] = 0; floor = top[0];
       printf("vandal: truth forgets m0\n"); touched[0] = 1 }
  :: true
  fi;
  busy--
}
#endif

/* ---- check and repair: sync/confirm.py, sync/repair.py, sync/mend.py -------------------------------------------------- */

#define DIFFERS ((b_live && !(s_st == LIVE && s_ver == b_ver && !s_torn)) || (!b_live && s_st == LIVE))

inline first_look(m) {
  b_ver = t_ver[m]; b_live = t_live[m]; b_listed = o_listed[m];
#ifdef NO_OUTBOX_LOOK
  b_listed = 0;
#endif
  held[me] = b_ver + 1; held_of[me] = m
}

inline graph_look(m) {
  s_st = g_st[m]; s_ver = g_ver[m]; s_torn = g_torn[m];
  real = OUT_OF_STEP(m) && !o_listed[m] && !UNDER_A_RUN(m)
}

inline second_look(m) {
#ifdef NO_SECOND_LOOK
  same = 1
#else
#ifdef NO_OUTBOX_LOOK
  same = t_ver[m] == b_ver && t_live[m] == b_live
#else
  same = t_ver[m] == b_ver && t_live[m] == b_live && !o_listed[m]
#endif
#endif
}

#if defined(CHECK) || defined(REPAIR)
proctype Mender() {
  byte n, m, b_ver, s_st, s_ver, ver, me, k;
  bit b_live, b_listed, s_torn, real, same, excused, before;
  me = RUN;
  n = PASSES;
  do
  :: n > 0 ->
     n--;
     SOME(m);
     before = clearing == 2;
#ifdef DRIFT
     /* The last pass comes when all else is through: after it nothing may be left out of step. */
     if :: n == 0 -> (busy == 1 && STILL && !LISTED) :: else fi;
#endif
#ifdef NO_TRUTH_FIRST
     atomic { graph_look(m) }
     atomic { first_look(m) }
#else
#ifdef NO_OUTBOX_AFTER_TRUTH
     atomic { b_listed = o_listed[m] }
     atomic { same = b_listed; first_look(m); b_listed = same }
#else
     atomic { first_look(m) }
#endif
     atomic { graph_look(m) }
#endif
     atomic { second_look(m) }
     /* sync/check.py, _unlawful: a tenant that a rebuild has emptied is under that run, if it has not ended before the check
      * began; asked after all was read */
#ifndef NO_RUN_LEFT_OUT
     excused = m == 0 && clearing != 0 && !before;
#endif
     atomic {
       held[me] = 0; held_of[me] = 0;
       if
       :: !b_listed && same && DIFFERS && !excused ->
          printf("check: m%d has drifted (truth %d, graph %d)\n", m, b_ver, s_ver);
          assert(real);                                                      /* F a check reports no drift that is none */
          same = 1
       :: else -> same = 0
       fi }
#ifdef REPAIR
     if
     :: atomic { same -> k = (b_ver != 0 -> b_ver : s_ver); enlist(m, k, !b_live); k = 0 }
     :: !same
     fi;
#endif
     atomic { m = 0; b_ver = 0; b_live = 0; b_listed = 0; s_st = 0; s_ver = 0; s_torn = 0; real = 0; same = 0; ver = 0; excused = 0; before = 0 }
  :: n == 0 -> break
  od;
  busy--
}
#endif

/* ---- rebuild: sync/rebuild.py, of the tenant whose memory is m0 (and m1, but in scenario CLEAR) --------------------------- */

#ifdef REBUILD
#ifdef CLEAR
#define OURS 1
#else
#define OURS MEMORIES
#endif

proctype Rebuild() {
  byte m, ver, ack, k, b_ver, s_st, s_ver, me, id;
  bit b_live, b_listed, s_torn, real, same;
  me = RUN;
#ifdef CLEAR
  clearing = 1;
  do
  :: m < MEMORIES ->
#ifndef NO_TENANT
     if :: m >= OURS -> break :: else fi;
#endif
     atomic {
       if
#ifndef NO_CLEAR_VERSION
       :: g_st[m] == LIVE -> g_st[m] = TOMB; g_ver[m] = g_ver[m] - 1; g_torn[m] = 0; g_stamp[m] = 0;
#else
       :: g_st[m] != GONE -> g_st[m] = GONE; g_ver[m] = 0; g_torn[m] = 0; g_stamp[m] = 0;
#endif
          printf("rebuild: m%d is cleared\n", m); audit(m)
       :: else
       fi }
     m++
  :: else -> break
  od;
#endif
  m = 0;
  /* _walk: page by page (one memory each), at truth's versions, forced and stamped. An outage interrupts the run, and
   * whoever takes it up goes on at the cursor: at this page. */
  do
  :: m < OURS ->
     atomic { ver = (t_live[m] -> t_ver[m] : 0); if :: ver != 0 -> held[me] = ver + 1; held_of[me] = m :: else fi;
       printf("rebuild: reads m%d at %d\n", m, ver) }
     if
     :: ver == 0 -> m++
     :: else ->
        send(me, m, ver, 1, 1, 1);
        if
        :: ack == DONE -> m++
        :: atomic { ack == NEWER -> k = ver; enlist(m, k, 0); k = 0; m++ }
        :: ack == LOST
        fi
     fi;
     ack = 0
  :: else -> break
  od;
  ver = 0; m = 0;
  /* _sweep: what carries no stamp was written meanwhile, or is an orphan */
  do
  :: m < OURS ->
     atomic { s_st = g_st[m]; s_ver = g_ver[m]; same = (g_st[m] == LIVE && !g_stamp[m]);
       real = OUT_OF_STEP(m) && !o_listed[m] };
     if
     :: same ->
#ifdef NO_SWEEP_LOOK
        skip;
#else
        atomic { first_look(m) }
        atomic { graph_look(m); real = OUT_OF_STEP(m) && !o_listed[m] }
        atomic { second_look(m); same = same && !b_listed && !b_live && s_st == LIVE }
#endif
        atomic { held[me] = 0; held_of[me] = 0;
          if :: same -> printf("rebuild: m%d is an orphan at %d\n", m, s_ver);
#ifndef ONLY_DAMAGE
                assert(real)                                                 /* F a rebuild records no orphan that is none */
#endif
             :: else
          fi }
        if
        :: atomic { same -> k = (b_ver != 0 -> b_ver : s_ver); enlist(m, k, 1); k = 0 }
        :: !same
        fi
     :: else
     fi;
     atomic { m++; same = 0; real = 0; s_st = 0; s_ver = 0; s_torn = 0; b_ver = 0; b_live = 0; b_listed = 0 }
  :: else -> break
  od;
  m = 0;
  atomic { if :: clearing == 1 -> clearing = 2 :: else fi; audit(0) }
  busy--
}
#endif

/* ---- the beginning ----------------------------------------------------------------------------------------------- */

#ifdef LIVENESS
proctype Weather() { calm = 1 }
#define IN_STEP (busy == 0 && !LISTED && !OUT_OF_STEP(0))
ltl quiet { [] (calm -> <> IN_STEP) }
#endif

init {
  byte i;
  atomic {
    busy = WRITERS;
    run Network();
#ifdef THERE
    /* The memories have been stored before. */
    i = 0;
    do
    :: i < MEMORIES ->
       t_ver[i] = 1; t_live[i] = 1; said[i] = 1; acked[i] = 1; top[i] = 1; g_ver[i] = 1; g_st[i] = LIVE; i++
    :: else -> break
    od;
#endif
#ifdef ORPHAN
    /* The graph has m0, and truth knows nothing of it: an old copy was restored, which raises the floor. */
    floor = 1; top[0] = 1; g_ver[0] = 1; g_st[0] = LIVE; touched[0] = 1;
#endif
#if defined(CHECK) || defined(REPAIR)
    busy++; run Mender();
#endif
#ifdef DRIFT
    busy++; run Vandal();
#endif
#ifdef REBUILD
    busy++; run Rebuild();
#endif
#ifdef COLLECT
    run Collector();
#endif
#ifdef LEASES
    run Clock();
#endif
#ifdef LIVENESS
    run Weather();
#endif
    i = 0;
    do :: i < WRITERS -> run Writer(i); i++ :: else -> break od;
#ifndef NO_RELAY
    do :: i < RUN -> run Relay(i); i++ :: else -> break od
#endif
  }
}
