/* SPDX-License-Identifier: Apache-2.0
 * Part of Conclave. See LICENSE.
 *
 * The rules of a task with crash and resume, executable: rounds, answers, votes, epochs, stragglers, failures, node loss, deadlines,
 * one presentation (docs/protocol.md 2 to 5), calls and their records (8.1), a log that is the whole truth (9.1), owners and fences
 * (10.2). What is checked, and the command: docs/protocol.md 9.4.
 *
 * One process: the ledger takes one command at a time, in arrival order; the environment (models, tools, timers, nodes, the power
 * supply) picks any enabled one. Everything is bounded and no step undoes another, so the graph has no cycle: "no invalid end state"
 * means that every execution reaches `done`.
 *
 * Four kinds of state. The log: what the ledger has decided; one decision is one transaction. The memory of the engine: which orders it
 * has released (`sent`). The outside: what was paid, done and told, which no crash takes back. Messages of an older owner still under
 * way (`old_from`): its nodes outlive it.
 *
 * A crash loses the memory and the decisions that are not durable. From the step "the disk stops" on nothing becomes durable any more:
 * the log as it is then is kept aside, up to PENDING further decisions are made, then the power fails and the log is what was kept. So a
 * crash between a decision and its durability is played with every number of decisions in one group commit up to PENDING. What is
 * released because of a durable record is released as late as one likes, so a crash between COMMIT and its callback is played, too.
 *
 * Resume is three steps, and a crash may strike after each: down, claimed (fence + 1), taken over (a decision like any other). Taking
 * over gives every active run a new id; it keeps its epoch, and counts as no run and no failure. A model call open in the log is closed as lost, and the run
 * asks again under a new record; a tool call open in the log is not idempotent here: its result says that it may have
 * happened (`tell`). In the closing phase no run is rebuilt: its timer ends the task.
 *
 * Abstracted:
 *   - a run makes one model call, or one, a tool call and a second one; only agent 0 has a tool. Corrections and further tool calls
 *     repeat this pattern. Texts, labels, caps in bytes, the limit of runs and back-off times are left out.
 *   - a reply is chosen when it is recorded: one that arrived and was not recorded is lost with the memory, as one under way is.
 *   - idempotent and read-only tools are left out: they are repeated as a model call is, and cost nothing.
 *   - run ids: a message of an older owner names an id that is not current, since taking over gave a new one. Of each agent at most
 *     one such message is under way, of its newest call.
 *   - the end of a call whose run the ledger has ended is recorded in the closing phase only.
 *   - a resumed engine finds all nodes; losing one right after stands for one that is away.
 */
#ifndef A
#define A 2            /* agents */
#endif
#ifndef MAXA
#define MAXA 2         /* max_new_answers_per_agent */
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef PENDING
#define PENDING 1      /* decisions of one group commit that a crash may lose together */
#endif
#ifndef MAXFAIL
#define MAXFAIL 2      /* max_failed_runs: failed runs in a row, then the agent is out; 0: no run fails */
#endif
#ifndef DEADLINE
#define DEADLINE 1     /* may the coordination deadline strike? */
#endif
#ifndef LOSS
#define LOSS 1         /* may nodes be lost? */
#endif
#ifndef CANCEL
#define CANCEL 1       /* may the user end the task? */
#endif
#ifndef TOOLS
#define TOOLS 1        /* may agent 0 call a tool? */
#endif
#ifndef CALM
#define CALM 0         /* 1: nobody improves, fails or is late; counts model calls. Set TOOLS, LOSS, CANCEL, DEADLINE to 0 */
#endif

/* Faults, each of which has to be found: the runner sets one of them to 1. */
#ifndef MUTANT
#define MUTANT 0
#endif
#define SENT_EARLY        (MUTANT == 1)   /* a call is sent before its begin is durable */
#define ACTED_EARLY       (MUTANT == 2)   /* a tool is called before the end of the model call that asks for it is durable */
#define RULED_EARLY       (MUTANT == 3)   /* a verdict is called accepted before it is durable */
#define ENDED_EARLY       (MUTANT == 4)   /* the host is told the outcome before it is durable */
#define RUN_COUNTED       (MUTANT == 5)   /* a rebuilt run counts as another run */
#define FAILURE_COUNTED   (MUTANT == 6)   /* a crash counts as a failed run */
#define EPOCH_RENEWED     (MUTANT == 7)   /* a rebuilt run gets the newest epoch, though it was shown less */
#define RUN_FROM_START    (MUTANT == 8)   /* a rebuilt run forgets the completions it has */
#define END_TASK_UNFENCED (MUTANT == 9)   /* a node obeys an older owner's end_task */
#define VOTE_UNFENCED     (MUTANT == 10)  /* a vote of an older owner's run counts for the current one */
#define PRESENTED_AGAIN   (MUTANT == 11)  /* the presentation starts anew on resume */
#define TOOL_AGAIN        (MUTANT == 12)  /* the tool call open at the crash is carried out again */
#define RESUME_ENDS       (MUTANT == 13)  /* resume marks the end of the broken part with a terminal event */
#define VOTES_LOST        (MUTANT == 14)  /* the votes are not folded */
#define TIMER_LOST        (MUTANT == 15)  /* the closing phase waits for the ends of calls alone */

#define NOBODY 255

mtype = { coordinating, presenting, closing, done, answered, failed, timed_out, interrupted, nothing };

/* --- the log: every variable here has a copy that a crash falls back to, see LOG ------------------------------------------------- */
mtype phase = coordinating;
mtype outcome = nothing;
bool live[A];          /* not out */
byte answers[A];       /* accepted answers */
byte fails[A];         /* failed runs since the last accepted verdict */
byte at[A];           /* where the run in flight is; in phase presenting the winner's run is the presentation */
byte run_epoch[A];     /* the epoch it started in */
bool closed[A];        /* this round needs nothing more of the agent: verdict accepted, or straggler */
bool voted[A];         /* holds a vote of the current epoch */
byte vote_for[A];
byte epoch;            /* answers accepted so far */
bool first_round = true;
bool improved;         /* an answer was accepted in this round */
bool verdict;          /* a verdict was accepted in this round: the patience for stragglers runs */
bool late;             /* the deadline has struck */
byte winner = NOBODY;
byte tries;            /* attempts at the one presentation */
/* in the log, but checked only, not used by the rules */
bool straggled;        /* a straggler in this round */
byte vote_epoch[A];    /* the epoch of what the voter was really shown */
byte shown_epoch[A];   /* the same of the run in flight */
byte asked[A];         /* runs of this round */
byte own_fails[A];     /* failures that really happened */
byte ended[A];         /* model calls of this run with a durable end */
byte presentations, terminals;

/* Where a run is. */
#define NONE   0
#define READY  1       /* started, no call open */
#define CALL   2       /* the first model call is open */
#define TOOL   3       /* its end and the begin of a tool call are recorded */
#define TOLD   4       /* the tool's result is recorded, no call open; otherwise it comes with the begin of the next call */
#define CALL2  5       /* the second model call is open */
#define OPEN(k) (at[k] == CALL || at[k] == CALL2)

/* --- the memory of the engine ---------------------------------------------------------------------------------------------------- */
#define DOWN    0
#define CLAIMED 1
#define UP      2
byte engine = UP;
bool stopped;          /* the disk has stopped: nothing decided from now on becomes durable */
byte pending;          /* decisions made since */
bool fresh[A];         /* the newest record of this agent's run is one of them */
bool sent[A];          /* the order that the open call stands for has been released */
byte crashes;

/* --- what no crash takes back; checked only -------------------------------------------------------------------------------------- */
bool paid[A];          /* the current model call was sent and neither ended durably nor excused by a crash while it was open in the log */
bool acted[A];         /* the current tool call was carried out */
byte told_epoch;       /* answers whose acceptance somebody was told of */
bool told_vote[A];     /* likewise votes that no answer has made void */
byte told_end;         /* outcomes the host was told */
byte calls, excused;   /* CALM: model calls sent; calls open at crashes */

/* --- messages of an older owner under way ---------------------------------------------------------------------------------------- */
#define TO_NODES 254
byte old_from = NOBODY; /* an agent: its verdict; TO_NODES: the older owner's end_task */
byte old_epoch;        /* of the run the verdict belongs to; 0 in the first round */

/* The log as the disk has it, while `stopped`; otherwise all zero. */
mtype d_phase, d_outcome;
bool d_live[A], d_closed[A], d_voted[A];
byte d_answers[A], d_fails[A], d_at[A], d_run_epoch[A], d_vote_for[A];
byte d_epoch, d_winner, d_tries;
bool d_first_round, d_improved, d_verdict, d_late, d_straggled;
byte d_vote_epoch[A], d_shown_epoch[A], d_asked[A], d_own_fails[A], d_ended[A];
byte d_presentations, d_terminals;

#define FOR_ALL(body) i = 0; do :: i < A -> body; i++ :: else -> break od
#define IF(condition, body) if :: condition -> body :: else fi

inline keep_log() {
  d_phase = phase; d_outcome = outcome; d_epoch = epoch; d_winner = winner; d_tries = tries; d_first_round = first_round;
  d_improved = improved; d_verdict = verdict; d_late = late; d_straggled = straggled; d_presentations = presentations;
  d_terminals = terminals;
  FOR_ALL(d_live[i] = live[i]; d_closed[i] = closed[i]; d_voted[i] = voted[i]; d_answers[i] = answers[i]; d_fails[i] = fails[i];
    d_at[i] = at[i]; d_run_epoch[i] = run_epoch[i]; d_vote_for[i] = vote_for[i]; d_vote_epoch[i] = vote_epoch[i];
    d_shown_epoch[i] = shown_epoch[i]; d_asked[i] = asked[i]; d_own_fails[i] = own_fails[i]; d_ended[i] = ended[i])
}

inline read_log() {
  phase = d_phase; outcome = d_outcome; epoch = d_epoch; winner = d_winner; tries = d_tries; first_round = d_first_round;
  improved = d_improved; verdict = d_verdict; late = d_late; straggled = d_straggled; presentations = d_presentations;
  terminals = d_terminals;
  d_phase = 0; d_outcome = 0; d_epoch = 0; d_winner = 0; d_tries = 0; d_first_round = 0; d_improved = 0; d_verdict = 0; d_late = 0;
  d_straggled = 0; d_presentations = 0; d_terminals = 0;
  FOR_ALL(live[i] = d_live[i]; closed[i] = d_closed[i]; voted[i] = d_voted[i]; answers[i] = d_answers[i]; fails[i] = d_fails[i];
    at[i] = d_at[i]; run_epoch[i] = d_run_epoch[i]; vote_for[i] = d_vote_for[i]; vote_epoch[i] = d_vote_epoch[i];
    shown_epoch[i] = d_shown_epoch[i]; asked[i] = d_asked[i]; own_fails[i] = d_own_fails[i]; ended[i] = d_ended[i];
    d_live[i] = 0; d_closed[i] = 0; d_voted[i] = 0; d_answers[i] = 0; d_fails[i] = 0; d_at[i] = 0; d_run_epoch[i] = 0;
    d_vote_for[i] = 0; d_vote_epoch[i] = 0; d_shown_epoch[i] = 0; d_asked[i] = 0; d_own_fails[i] = 0; d_ended[i] = 0)
}

/* May the ledger decide? */
#define DECIDES (engine == UP && (!stopped || pending < PENDING))
/* May an order be released that rests on the newest record of agent k? Once the disk has stopped only a fault releases any: what rests
 * on older records could as well have been released before. */
#define RELEASES(k, fault) (engine == UP && (!stopped || (fault && fresh[k])))

#define COORD (phase == coordinating)
#define PRESENTS(k) (phase == presenting && winner == k)

/* A decision is made: what is told because of it, if it is durable. */
inline decided() {
  if :: stopped -> pending++ :: else fi;
  if
  :: !stopped || RULED_EARLY -> told_epoch = epoch; FOR_ALL(told_vote[i] = voted[i])
  :: else
  fi;
  if
  :: terminals > 0 && (!stopped || ENDED_EARLY) -> told_end++; assert(told_end == 1)   /* the host hears one outcome */
  :: else
  fi
}

/* The run of agent k is over, whatever its call does. */
inline end_run(k) {
  at[k] = NONE; run_epoch[k] = 0; shown_epoch[k] = 0; ended[k] = 0; sent[k] = false;
  if :: !stopped -> paid[k] = false; acted[k] = false :: else fi
}

inline end_all_runs() { j = 0; do :: j < A -> end_run(j); j++ :: else -> break od }

inline terminate() {
  end_all_runs(); terminals++; phase = done;
  assert(terminals == 1)                                                      /* I7 */
}

/* Coordination is over: what it was about matters no more, and states that differ in it alone are one. */
inline forget() {
  first_round = false; improved = false; verdict = false; straggled = false; late = false;
  j = 0;
  do
  :: j < A ->
     if :: phase != presenting || winner != j -> live[j] = true :: else fi;
     answers[j] = 0; fails[j] = 0; own_fails[j] = 0; asked[j] = 0; closed[j] = false; voted[j] = false; vote_for[j] = 0;
     vote_epoch[j] = 0; run_epoch[j] = 0; shown_epoch[j] = 0;
     j++
  :: else -> break
  od
}

/* The outcome is known. Calls under way get the time to end before the terminal event. */
inline finish(how) {
  outcome = how; phase = closing; winner = NOBODY; tries = 0; forget(); over = true;
  j = 0;
  do
  :: j < A -> if :: OPEN(j) && sent[j] -> over = false :: else -> end_run(j) fi; j++
  :: else -> break
  od;
  if :: over -> terminate() :: else fi
}

inline choose() {
  best = 0; winner = NOBODY;
  i = 0;
  do
  :: i < A ->
     if
     :: answers[i] > 0 ->
        tally = 0; j = 0;
        do
        :: j < A ->
           if
           :: voted[j] && vote_for[j] == i -> tally++; assert(vote_epoch[j] == epoch)             /* I2 */
           :: else
           fi;
           j++
        :: else -> break
        od;
        if :: winner == NOBODY || tally > best -> winner = i; best = tally :: else fi
     :: else
     fi;
     i++
  :: else -> break
  od;
  assert(winner != NOBODY && answers[winner] > 0);                               /* I4 */
  FOR_ALL(assert(late || straggled || !live[i] || voted[i]));                 /* nobody's vote is lost */
  end_all_runs(); phase = presenting; forget();
  if :: !live[winner] -> finish(answered) :: else fi                          /* the stored answer */
}

inline next_round() {
  first_round = false; improved = false; verdict = false; straggled = false;
  FOR_ALL(assert(!live[i] || at[i] == NONE); closed[i] = false; asked[i] = 0)
}

/* After every command: is the round over, is coordination? */
inline settle() {
  some_live = false; over = true;
  FOR_ALL(assert(LOSS || live[i] || own_fails[i] >= MAXFAIL);                 /* nobody is out without a reason */
    if :: live[i] -> some_live = true; if :: !closed[i] -> over = false :: else fi :: else fi);
  if
  :: late && epoch == 0 -> finish(timed_out)
  :: late && epoch > 0 -> choose()
  :: !late && !some_live && epoch == 0 -> finish(failed)
  :: !late && !some_live && epoch > 0 -> choose()
  :: !late && some_live && over && (first_round || improved) -> assert(epoch > 0); next_round()
  :: !late && some_live && over && !first_round && !improved -> choose()
  :: else
  fi
}

/* --- what the ledger decides about agent k --------------------------------------------------------------------------------------- */

inline take_answer(k) {
  answers[k]++; epoch++; fails[k] = 0; own_fails[k] = 0; end_run(k); closed[k] = true; verdict = true; improved = true;
  FOR_ALL(voted[i] = false; vote_for[i] = 0; vote_epoch[i] = 0);              /* I3: nobody holds a vote */
  settle()
}

/* A vote that an answer has overtaken is ignored, and closes the round for k all the same. */
inline take_vote(k, t, seen) {
  if :: run_epoch[k] == epoch -> voted[k] = true; vote_for[k] = t; vote_epoch[k] = seen :: else fi;
  fails[k] = 0; own_fails[k] = 0; end_run(k); closed[k] = true; verdict = true;
  settle()
}

#define REPLIED(k) (OPEN(k) && sent[k])

#define VOTE(k, t) \
  d_step { DECIDES && COORD && !first_round && REPLIED(k) && answers[t] > 0 && (!CALM || answers[k] > 0) -> \
    printf("agent%d: its vote for agent%d arrives\n", k + 1, t + 1); \
    take_vote(k, t, shown_epoch[k]); decided() }

#define AGENT(k) \
     d_step { DECIDES && COORD && live[k] && at[k] == NONE && !closed[k] -> printf("agent%d: a run begins\n", k + 1); \
       at[k] = READY; run_epoch[k] = epoch; shown_epoch[k] = epoch; fresh[k] = stopped; asked[k]++; \
       assert(asked[k] <= (MAXFAIL > 0 -> MAXFAIL : 1)); decided() }                     /* I10 */ \
  :: d_step { DECIDES && PRESENTS(k) && at[k] == NONE -> printf("agent%d: the presentation begins\n", k + 1); \
       if :: tries == 0 -> presentations++; assert(presentations == 1) :: else fi;       /* I5 */ \
       tries++; at[k] = READY; fresh[k] = stopped; decided() } \
  :: d_step { DECIDES && (COORD || PRESENTS(k)) && (at[k] == READY || at[k] == TOLD) -> printf("agent%d: a model call is recorded\n", k + 1); \
       at[k] = (at[k] == READY -> CALL : CALL2); fresh[k] = stopped; decided() } \
  :: d_step { RELEASES(k, SENT_EARLY) && (COORD || PRESENTS(k)) && OPEN(k) && !sent[k] -> printf("agent%d: the model call is sent\n", k + 1); \
       assert(!paid[k]);                                    /* no call twice, but for one that a crash found open */ \
       assert(ended[k] == (at[k] == CALL -> 0 : 1));       /* no call again whose end is durable */ \
       sent[k] = true; paid[k] = true; if :: CALM -> calls++ :: else fi } \
  :: d_step { TOOLS && DECIDES && COORD && k == 0 && at[k] == CALL && sent[k] -> printf("agent%d: the completion asks for a tool; the tool call is recorded\n", k + 1); \
       at[k] = TOOL; ended[k]++; sent[k] = false; fresh[k] = stopped; if :: !stopped -> paid[k] = false :: else fi; decided() } \
  :: d_step { TOOLS && RELEASES(k, ACTED_EARLY) && COORD && at[k] == TOOL && !sent[k] -> printf("agent%d: the tool is called\n", k + 1); \
       assert(!acted[k]);                                   /* a tool that is not idempotent runs at most once */ \
       sent[k] = true; acted[k] = true } \
  :: d_step { TOOLS && DECIDES && COORD && at[k] == TOOL && sent[k] -> printf("agent%d: the result of the tool and the next model call are recorded\n", k + 1); \
       at[k] = CALL2; sent[k] = false; fresh[k] = stopped; if :: !stopped -> acted[k] = false :: else fi; decided() } \
  :: d_step { DECIDES && COORD && REPLIED(k) && answers[k] < MAXA && (!CALM || answers[k] == 0) -> printf("agent%d: its answer arrives\n", k + 1); take_answer(k); decided() } \
  :: VOTE(k, 0) \
  :: VOTE(k, 1) \
  :: VOTE2(k) \
  :: d_step { MAXFAIL && DECIDES && COORD && at[k] != NONE && !CALM -> printf("agent%d: the run fails\n", k + 1); end_run(k); fails[k]++; own_fails[k]++; \
       if :: fails[k] >= MAXFAIL -> live[k] = false; assert(own_fails[k] >= MAXFAIL) :: else fi; \
       settle(); decided() }                                                  /* error, deadline, corrections used up */ \
  :: d_step { LOSS && DECIDES && COORD && !CALM && live[k] -> printf("agent%d: its node is lost\n", k + 1); end_run(k); live[k] = false; settle(); decided() } \
  :: d_step { DECIDES && PRESENTS(k) && REPLIED(k) -> printf("agent%d: the final text arrives\n", k + 1); finish(answered); decided() }      /* the winner's final text */ \
  :: d_step { DECIDES && PRESENTS(k) && REPLIED(k) && !CALM && (MAXFAIL || LOSS) -> printf("agent%d: the attempt at the presentation fails\n", k + 1); \
       end_run(k); if :: tries == 2 -> finish(answered) :: else fi; decided() }          /* asked again; then the stored answer */ \
  :: d_step { LOSS && DECIDES && PRESENTS(k) && live[k] -> printf("agent%d: its node is lost\n", k + 1); live[k] = false; end_run(k); finish(answered); decided() } \
  :: d_step { DECIDES && phase == closing && REPLIED(k) -> printf("agent%d: its call ends late\n", k + 1); end_run(k); \
       over = true; FOR_ALL(IF(at[i] != NONE, over = false)); \
       if :: over -> terminate() :: else fi; decided() }                      /* a late end */ \
  :: d_step { engine != DOWN && crashes < CRASHES && REPLIED(k) -> \
       printf("crash; a message of agent%d is still under way\n", k + 1); old_from = k; old_epoch = (first_round -> 0 : run_epoch[k]); crash() }            /* its verdict is still under way */ \
  :: d_step { old_from == k && engine == UP && !stopped -> printf("agent%d: a message of the older owner arrives\n", k + 1); \
       if \
       :: VOTE_UNFENCED && COORD && !first_round && at[k] != NONE && old_epoch > 0 && answers[0] > 0 -> \
            take_vote(k, 0, old_epoch); decided() \
       :: else                                                                /* not the owner's, not the run's: no effect */ \
       fi; \
       old_from = NOBODY; old_epoch = 0 }
#if A > 2
#define VOTE2(k) VOTE(k, 2)
#else
#define VOTE2(k) d_step { false -> skip }
#endif

/* --- crash and resume ------------------------------------------------------------------------------------------------------------ */

inline crash() {
  if :: stopped -> read_log() :: else fi;
  stopped = false; pending = 0; crashes++;
  assert(epoch >= told_epoch);                                                /* no accepted answer is lost */
  FOR_ALL(
    assert(!told_vote[i] || voted[i]);                                        /* no accepted vote is lost */
    if :: OPEN(i) -> paid[i] = false; if :: CALM -> excused++ :: else fi :: else fi;
    fresh[i] = false; sent[i] = false);
  engine = DOWN
}

inline take_over() {
  FOR_ALL(
    if
    :: phase == closing || phase == done -> at[i] = NONE; run_epoch[i] = 0; shown_epoch[i] = 0; ended[i] = 0; acted[i] = false
    :: else ->
       if
       :: at[i] == TOOL && TOOL_AGAIN -> skip
       :: at[i] == TOOL && !TOOL_AGAIN -> at[i] = TOLD; acted[i] = false
       :: at[i] == CALL2 -> at[i] = TOLD
       :: at[i] == CALL -> at[i] = READY
       :: else
       fi;
       if :: RUN_FROM_START && at[i] == TOLD -> at[i] = READY :: else fi;
       if :: at[i] != NONE && EPOCH_RENEWED && COORD -> run_epoch[i] = epoch :: else fi;
       if :: at[i] != NONE && RUN_COUNTED && COORD -> asked[i]++ :: else fi;
       if :: at[i] != NONE && FAILURE_COUNTED && COORD -> fails[i]++ :: else fi
    fi;
    assert(asked[i] <= (MAXFAIL > 0 -> MAXFAIL : 1));
    if :: VOTES_LOST -> voted[i] = false; vote_for[i] = 0; vote_epoch[i] = 0 :: else fi);
  if :: PRESENTED_AGAIN && phase == presenting -> at[winner] = NONE; tries = 0 :: else fi;
  if :: RESUME_ENDS && phase != done -> terminals++ :: else fi;
  engine = UP
}

init {
  byte i, j, best, tally;
  bool some_live, over;
  FOR_ALL(live[i] = true);

  do
  :: atomic { phase == done && !stopped && engine == UP -> break }
  :: AGENT(0)
  :: AGENT(1)
#if A > 2
  :: AGENT(2)
#endif
  :: d_step { DECIDES && COORD && !CALM && verdict -> printf("patience is over\n"); straggled = true; FOR_ALL(closed[i] = true); end_all_runs();
       settle(); decided() }                                                  /* patience is over */
  :: d_step { DEADLINE && DECIDES && COORD && !CALM -> printf("the deadline strikes\n"); late = true; settle(); decided() }
  :: d_step { CANCEL && DECIDES && (COORD || phase == presenting) && !CALM -> printf("the user cancels\n"); finish(interrupted); decided() }
  :: d_step { DECIDES && phase == closing && !TIMER_LOST -> printf("the time for late ends is over\n"); terminate(); decided() }     /* the time for late ends is over */

  :: d_step { PENDING > 0 && engine == UP && !stopped && crashes < CRASHES && phase != done -> printf("the disk stops\n"); keep_log(); stopped = true }
  :: d_step { engine != DOWN && crashes < CRASHES -> printf("crash\n"); if :: old_from == NOBODY -> old_from = TO_NODES :: else fi; crash() }
  :: d_step { engine == DOWN -> printf("resume: the task is claimed\n"); engine = CLAIMED }              /* the fence is one higher */
  :: d_step { engine == CLAIMED -> printf("resume: it is taken over\n"); take_over() }
  :: d_step { old_from == TO_NODES && engine == UP && !stopped -> printf("the older owner's end_task arrives\n");
       if :: END_TASK_UNFENCED && COORD -> FOR_ALL(end_run(i); live[i] = false); settle(); decided()
       :: else                                                                /* a node knows a higher fence: no effect */
       fi;
       old_from = NOBODY }
  od;

  assert(terminals == 1 && told_end == 1 && (outcome == interrupted || (outcome == answered) == (epoch > 0)));
  assert(!CALM || calls <= 2 * A + 1 + excused)
}
