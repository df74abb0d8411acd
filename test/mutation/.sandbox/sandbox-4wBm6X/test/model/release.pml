/*
 * Release, lock, revocation, window, epoch and restart of one machine with one latch, small enough
 * that spin goes through every order of events. What the server keeps is in `disk`; what a crash
 * takes with it is not. What ought to be is in the variables that begin with `is`, which no crash
 * touches and no rule of the server reads. The faults are planted by -D, one at a time;
 * spin.test.ts beside this lists them.
 */
#ifndef CLIENT_ASKS
#define CLIENT_ASKS 1
#endif
#ifndef THIEF_ASKS
#define THIEF_ASKS 1
#endif
#ifndef CHANGES
#define CHANGES 2
#endif
#ifndef ANNOUNCEMENTS
#define ANNOUNCEMENTS 1
#endif
#ifndef REPLAYS
#define REPLAYS 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#define HONEST 1
#define THIEF  2
#define NOBODY 0

mtype = { unlocked, locked, revoked, lock, unlock, revoke, to_always, to_lease, grant };
mtype = { released, machine_locked, latch_revoked, no_lease, lease_over, lease_used, other_address };

typedef Disk {
  mtype state = unlocked;
  byte epoch = 1;
  bool leased = true;    /* the policy is `lease`, not `always` */
  byte leases;           /* how many the machine has had */
  bool window;           /* it has one */
  byte useLease;         /* the number of the lease that the latch was opened in */
  byte useFrom;
  bool hasKey = true
}
Disk disk;

byte life = 1;           /* counts the server's processes */
bool halted;             /* an operator's lock or revocation is under way */
byte leaving;            /* answers whose receipt is durable, and which have not left */
bool windowOver;         /* the clock has reached its end */
bool graceOver;

/* What ought to be. */
bool isLocked;           /* a lock was acknowledged, and no unlock asked for since */
bool isRevoked;
bool isOpen;             /* somebody who may has opened a window, and nothing has closed it */
byte isFirst = NOBODY;   /* who was released in it first */
byte isEpoch = 1;        /* what an operator was told last */

/* A machine's request for a window, as whoever listens has it: what it was signed over. */
byte heardLeases;
byte heardLife;
bool isHeard;
bool isTaken;

byte asks[3];            /* how often each address may still ask */

inline closeWindow() {
#ifndef WINDOW_OUTLIVES_CHANGES
  disk.window = false;
#endif
  isOpen = false
}

inline openWindow() {
  disk.leases++;
  disk.window = true;
  windowOver = false;
  isOpen = true;
  isFirst = NOBODY
}

/* The policy, and with it the receipt, in one transaction. */
inline judge(from, verdict) {
  if
#ifndef NO_REVOCATION
  :: !disk.hasKey || disk.state == revoked -> verdict = latch_revoked
#endif
#ifndef LOCK_IS_NOT_READ
  :: disk.hasKey && disk.state == locked -> verdict = machine_locked
  :: disk.state == unlocked && halted -> verdict = machine_locked
#endif
  :: else ->
    if
    :: !disk.leased -> verdict = released
    :: disk.leased && !disk.window -> verdict = no_lease
#ifndef WINDOW_WITHOUT_END
    :: disk.leased && disk.window && windowOver -> verdict = lease_over
#endif
    :: else ->
      if
#ifndef USE_IS_NOT_NOTED
      :: disk.useLease == disk.leases && graceOver -> verdict = lease_used
#ifndef GRACE_IS_ANYBODYS
      :: disk.useLease == disk.leases && !graceOver && disk.useFrom != from -> verdict = other_address
#endif
#endif
      :: else -> verdict = released
      fi
    fi
  fi
}

/* What the rules on paper say of a release that was judged now. */
inline requireAllowed(from) {
  assert(!isRevoked);
  assert(!isLocked);
  assert(!disk.leased || isOpen);
  assert(!disk.leased || !windowOver);
  assert(!disk.leased || isFirst == NOBODY || (isFirst == from && !graceOver))
}

inline noteUse(from) {
  if
  :: disk.leased && disk.useLease != disk.leases -> disk.useLease = disk.leases; disk.useFrom = from
  :: else
  fi;
  if
  :: disk.leased && isFirst == NOBODY -> isFirst = from; graceOver = false
  :: else
  fi
}

proctype Client(byte from) {
  mtype verdict;
  byte mine;
end:
  do
  :: atomic {
      asks[from] > 0 ->
      asks[from]--;
      mine = life;
      judge(from, verdict);
      printf("OP ask %d %e\n", from, verdict);
      if
      :: verdict == released -> requireAllowed(from); noteUse(from); leaving++
      :: else -> verdict = 0; mine = 0   /* what nobody asks for again makes no state of its own */
      fi
    }
  :: atomic {                                       /* the answer leaves, or does not */
      verdict == released ->
      if
      :: mine == life ->
        leaving--;
        if
        :: !halted && disk.hasKey -> assert(!isLocked && !isRevoked)
        :: else                                     /* refused after all */
        fi
      :: else                                       /* the process is gone */
      fi;
      verdict = 0;
      mine = 0
    }
  od
}

proctype Operator() {
  mtype change;
  byte mine;
  byte left = CHANGES;
end:
  do
  :: atomic {                                       /* the request */
      left > 0 ->
      left--;
      if
      :: change = lock
      :: change = unlock
      :: change = revoke
      :: change = to_always
      :: change = to_lease
      :: change = grant
      fi;
      mine = life;
      if
      :: change == unlock -> isLocked = false
      :: change == lock || change == revoke || change == to_lease -> halted = true; printf("OP halt\n")
      :: else
      fi
    };
    atomic {                                        /* the transaction */
      if
      :: mine != life
      :: else ->
        halted = false;
        printf("OP change %e\n", change);
        if
        :: disk.state == revoked || (change == grant && (disk.state != unlocked || !disk.leased))
        :: else ->
          if
          :: change == lock && disk.state == unlocked ->
#ifndef LOCK_IN_MEMORY
            disk.state = locked;
#endif
            disk.epoch++; closeWindow()
          :: change == unlock && disk.state == locked -> disk.state = unlocked; disk.epoch++
          :: change == revoke ->
            disk.state = revoked; disk.epoch++; closeWindow();
            disk.hasKey = false
          :: change == to_always && disk.leased -> disk.leased = false; closeWindow()
          :: change == to_lease && !disk.leased -> disk.leased = true; closeWindow()
          :: change == grant -> openWindow()
          :: else
          fi
        fi
      fi
    };
    atomic {                                        /* the acknowledgement */
#ifndef ACKNOWLEDGED_TOO_SOON
      (mine != life || leaving == 0);               /* earlier answers leave first */
#endif
      if
      :: mine != life
      :: else ->
        assert(disk.epoch >= isEpoch);
        isEpoch = disk.epoch;
        if
        :: change == lock && disk.state != revoked -> isLocked = true
        :: change == revoke -> isRevoked = true
        :: else
        fi
      fi;
      change = 0;
      mine = 0
    }
  od
}

inline post() {
  if
#ifdef REPLAY_IS_TAKEN
  :: disk.state == unlocked && !halted && disk.leased ->
#else
  :: heardLife == life && heardLeases == disk.leases && disk.state == unlocked && !halted && disk.leased ->
#endif
    printf("OP post taken\n");
    assert(!isTaken);
    isTaken = true;
    openWindow()
  :: else -> printf("OP post refused\n")
  fi
}

/* The running machine: a challenge, and then the request that signs it. */
proctype Machine() {
  byte left = ANNOUNCEMENTS;
  bool isSigned;
end:
  do
  :: atomic {
      left > 0 && !isSigned ->
      left--;
      isSigned = true;
      heardLeases = disk.leases;
      heardLife = life;
      isHeard = true;
      isTaken = false;
      printf("OP sign\n")
    }
  :: atomic { isSigned -> isSigned = false; post() }
  od
}

/* Whoever has listened sends it once more. */
proctype Listener() {
  byte left = REPLAYS;
end:
  do
  :: atomic { left > 0 && isHeard -> left--; post() }
  od
}

/* A challenge lasts no longer than the shortest of these. */
proctype Clock() {
end:
  do
  :: atomic { disk.window && !windowOver -> windowOver = true; isOpen = false; heardLife = 0; printf("OP window-over\n") }
  :: atomic { isFirst != NOBODY && !graceOver -> graceOver = true; heardLife = 0; printf("OP grace-over\n") }
  od
}

proctype Power() {
  byte left = CRASHES;
end:
  do
  :: atomic {
      left > 0 ->
      left--;
      life++;
      halted = false;
      leaving = 0;
#ifdef USE_IN_MEMORY
      disk.useLease = 0;
#endif
#ifdef RESTART_UNLOCKS
      if :: disk.state == locked -> disk.state = unlocked :: else fi;
#endif
      printf("OP crash\n")
    }
  od
}

init {
  atomic {
    asks[HONEST] = CLIENT_ASKS;
    asks[THIEF] = THIEF_ASKS;
    run Client(HONEST);
    run Client(THIEF);
    run Operator();
    run Machine();
    run Listener();
    run Clock();
    run Power()
  }
}
