/*
 * A machine under `approval`: it asks from its own address, a thief from another. Two of the
 * operators must approve; one who denies is enough. Requests expire, an approval opens a window
 * for one address, and whoever locks the machine ends all of it. Time is in events that hold for
 * everything at once: a minute ends each grace, ten minutes each window, an hour each request. What
 * ought to be is in the variables that begin with `is`, which no rule of the server reads. The
 * faults are planted by -D; spin.test.ts beside this lists them.
 */
#ifndef ASKS
#define ASKS 2
#endif
#ifndef WORDS
#define WORDS 3
#endif
#ifndef CHANGES
#define CHANGES 2
#endif
#ifndef TIMES
#define TIMES 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef OPERATORS
#define OPERATORS 2
#endif
#define OF 2
#define count(mask) (((mask) & 1) + (((mask) >> 1) & 1) + (((mask) >> 2) & 1))

mtype = { unlocked, locked, revoked };
mtype = { released, machine_locked, latch_revoked, waits, denied };
mtype = { opens, counts, again, denies, unknown };

/* What the server keeps, all of it on the disk. Addresses are 1 and 2. */
typedef Request {
  bool there;
  bool no;               /* an operator has denied it */
  byte voters;           /* one bit for each operator */
  byte number            /* another one for each request of the address */
}
Request requests[3];
mtype state = unlocked;
byte to;                 /* the address that the window is for; 0: there is none */
bool used;

/* The clock. */
bool over[3];            /* the request of this address has expired */
bool windowOver;
bool graceOver;

/* What ought to be. */
bool isLocked;
bool isRevoked;
bool isWaiting[3];
bool isDenied[3];
byte isSaid[3];          /* who has approved of what waits now */
byte isNumber[3];
byte isOpen;             /* the address that enough have approved of */
bool isUsed;

byte asks = ASKS;
byte words = WORDS;

inline voidAll() {
#ifndef LOCK_KEEPS_REQUESTS
  requests[1].there = false;
  requests[2].there = false;
#endif
#ifndef LOCK_KEEPS_WINDOW
  to = 0;
#endif
  isWaiting[1] = false;
  isWaiting[2] = false;
  isOpen = 0
}

inline begin(from) {
  requests[from].there = true;
  requests[from].no = false;
#ifndef VOTES_OUTLIVE_THEIR_REQUEST
  requests[from].voters = 0;
#endif
  requests[from].number++;
  over[from] = false
}

/* The same on paper. */
inline beginOnPaper(from) {
  if
  :: !isWaiting[from] ->
    isWaiting[from] = true;
    isDenied[from] = false;
    isSaid[from] = 0;
    isNumber[from]++
  :: else
  fi
}

#ifdef WINDOW_FOR_ANYBODY
#define isFor(from) (to != 0)
#else
#define isFor(from) (to != 0 && to == from)
#endif
#ifdef WINDOW_WITHOUT_END
#define isPast false
#else
#define isPast windowOver
#endif
#ifdef USE_IS_NOT_NOTED
#define isClosed false
#else
#define isClosed (used && graceOver)
#endif

inline judge(from, verdict) {
  if
  :: state == revoked -> verdict = latch_revoked
  :: state == locked -> verdict = machine_locked
  :: else ->
    if
    :: isFor(from) && !isPast && !isClosed -> verdict = released
    :: else ->
      if
      :: requests[from].there && !over[from] && requests[from].no -> verdict = denied
      :: requests[from].there && !over[from] && !requests[from].no -> verdict = waits
      :: else -> begin(from); verdict = waits
      fi
    fi
  fi
}

proctype Client(byte from) {
  mtype verdict;
end:
  do
  :: atomic {
      asks > 0 ->
      asks--;
      judge(from, verdict);
      printf("OP ask %d %e\n", from, verdict);
      if
      :: verdict == released ->
        assert(!isLocked && !isRevoked);
        assert(isOpen == from && !windowOver);
        assert(!isUsed || !graceOver);
        if
        :: !isUsed -> isUsed = true; graceOver = false
        :: else
        fi;
        used = true
      :: verdict == waits -> beginOnPaper(from)
      :: verdict == denied -> assert(isDenied[from])
      :: else -> assert(isLocked || isRevoked)
      fi;
      verdict = 0
    }
  od
}

/* An operator's yes to a request that is there. */
inline approve(from, who, outcome) {
  if
#ifndef DENIAL_IS_NOT_HEEDED
  :: requests[from].no -> outcome = denied
#endif
#ifndef OPERATOR_COUNTS_TWICE
  :: !requests[from].no && (requests[from].voters & who) -> outcome = again
#endif
  :: else ->
    if
#ifdef OPERATOR_COUNTS_TWICE
    :: requests[from].voters & who -> requests[from].voters = 7
#endif
    :: else -> requests[from].voters = requests[from].voters | who
    fi;
    if
#ifdef ONE_IS_ENOUGH
    :: true ->
#else
    :: count(requests[from].voters) >= OF ->
#endif
      outcome = opens;
      to = from;
      used = false;
      windowOver = false;
      requests[from].there = false
    :: else -> outcome = counts
    fi
  fi
}

/* What that means on paper. A window opens where it ought to, and nowhere else. */
inline approveOnPaper(from, who, isMeant, outcome) {
  if
  :: isMeant && !isDenied[from] -> isSaid[from] = isSaid[from] | who
  :: else
  fi;
  if
  :: isMeant && !isDenied[from] && count(isSaid[from]) >= OF ->
    assert(outcome == opens);
    isOpen = from;
    isUsed = false;
    isWaiting[from] = false
  :: else -> assert(outcome != opens)
  fi
}

proctype Operator(byte who) {
  mtype outcome;
  byte held;                                        /* the address of the request that he saw */
  byte number;
  byte isMeantNumber;
end:
  do
  :: atomic {                                       /* he looks at what waits */
      words > 0 && held == 0 && (requests[1].there || requests[2].there) ->
      if
      :: requests[1].there -> held = 1
      :: requests[2].there -> held = 2
      fi;
      number = requests[held].number;
      isMeantNumber = isNumber[held];
      printf("OP look %d %d\n", who, held)
    }
  :: atomic {                                       /* and says yes to it, maybe much later */
      words > 0 && held != 0 ->
      words--;
      if
#ifndef STALE_WORD_COUNTS
      :: !requests[held].there || requests[held].number != number -> outcome = unknown
#else
      :: !requests[held].there -> outcome = unknown
#endif
#ifndef EXPIRED_COUNTS
      :: requests[held].there && requests[held].number == number && over[held] -> outcome = unknown
#endif
      :: else -> approve(held, who, outcome)
      fi;
      printf("OP approve %d %e\n", who, outcome);
      approveOnPaper(held, who, (isWaiting[held] && isNumber[held] == isMeantNumber), outcome);
      held = 0; number = 0; isMeantNumber = 0; outcome = 0
    }
  :: atomic {                                       /* or no */
      words > 0 && held != 0 ->
      words--;
      if
      :: !requests[held].there || requests[held].number != number || over[held] -> outcome = unknown
      :: else ->
        if
        :: requests[held].no -> outcome = again
        :: else ->
          outcome = denies;
          requests[held].no = true;
          isDenied[held] = true
        fi
      fi;
      printf("OP deny %d %e\n", who, outcome);
      held = 0; number = 0; isMeantNumber = 0; outcome = 0
    }
  :: atomic {                                       /* or yes to a machine and an address */
      words > 0 && held == 0 ->
      words--;
      if
      :: held = 1
      :: held = 2
      fi;
      if
      :: state != unlocked -> outcome = unknown
      :: else ->
        if
        :: !requests[held].there || over[held] -> begin(held)
        :: else
        fi;
        beginOnPaper(held);
        approve(held, who, outcome)
      fi;
      printf("OP name %d %d %e\n", who, held, outcome);
      approveOnPaper(held, who, (!isLocked && !isRevoked && isWaiting[held]), outcome);
      held = 0; outcome = 0
    }
  od
}

proctype Administrator() {
  byte left = CHANGES;
end:
  do
  :: atomic {
      left > 0 && state != revoked ->
      left--;
      if
      :: state == unlocked -> state = locked; isLocked = true; voidAll(); printf("OP change lock\n")
      :: state == locked -> state = unlocked; isLocked = false; printf("OP change unlock\n")
#ifndef SPARED
      :: state = revoked; isRevoked = true; voidAll(); printf("OP change revoke\n")
#endif
      fi
    }
  od
}

proctype Clock() {
  byte left = TIMES;
end:
  do
  :: atomic { left > 0 -> left--; graceOver = true; printf("OP minute\n") }
  :: atomic { left > 0 -> left--; graceOver = true; windowOver = true; printf("OP window-over\n") }
  :: atomic {
      left > 0 ->
      left--;
      graceOver = true;
      windowOver = true;
      over[1] = true;
      over[2] = true;
      isWaiting[1] = false;
      isWaiting[2] = false;
      printf("OP request-over\n")
    }
  od
}

proctype Power() {
  byte left = CRASHES;
end:
  do
  :: atomic {
      left > 0 ->
      left--;
#ifdef LOCK_IN_MEMORY
      if
      :: state == locked -> state = unlocked
      :: else
      fi;
#endif
#ifdef DENIAL_IN_MEMORY
      requests[1].no = false;
      requests[2].no = false;
#endif
      printf("OP crash\n")
    }
  od
}

init {
  atomic {
    run Client(1);
    run Client(2);
    run Operator(1);
    run Operator(2);
#if OPERATORS > 2
    run Operator(4);
#endif
    run Administrator();
    run Clock();
    run Power()
  }
}
