/*
 * A machine under `alive`: heartbeats, releases, the lock of who is silent, restarts. Time is in
 * events: each may come at any moment from which on it can. A timeout is shorter than the time of a
 * boot. What ought to be is in the variables that begin with `is`, which no crash touches and no
 * rule of the server reads. The faults are planted by -D; alive.test.ts beside this lists them.
 *
 * With -DTIMED events come only as they can on one clock, which a real service can be put on: a
 * timeout is two ticks, and the time of a boot is longer than all ticks of a run. Each of its events
 * is one or several of those without it.
 */
#ifndef BEATS
#define BEATS 3
#endif
#ifndef ASKS
#define ASKS 4
#endif
#ifndef UNLOCKS
#define UNLOCKS 2
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef TICKS
#define TICKS 4
#endif
#ifndef BOOTS
#define BOOTS 1
#endif
#ifndef LOOKS
#define LOOKS 2
#endif

mtype = { well, told_locked, released, not_alive, machine_locked };

/* In memory. It is released as long as one of the first two holds. */
bool heardOpen = true;   /* heard within its timeout */
bool bootOpen;           /* within the time of a boot */
bool extended;           /* it has had that since it was heard */
bool forgiven;           /* the server does not listen for long enough to lock anybody */

/* On the disk: the same, as it was written last. */
bool locked;
bool diskHeard = true;
bool diskBoot;
bool diskExtended;

/* What ought to be. */
bool isThere = true;     /* it was heard less than its timeout ago */
bool isBooting;          /* a person, or its first release since it was heard, gave it time */
bool isGiven;            /* that release has come */
bool isHeardSince;       /* heard since the server started */
bool isLocked;           /* it was locked, and no person has unlocked it */
bool again;              /* the planted fault gave the time of a boot once more */

#ifdef TIMED
/* Ticks since it was heard, since what is written of that, and since the server started. */
byte heardAge;
byte diskAge;
byte startAge;
#endif

#define open (heardOpen || bootOpen)

inline write() {
#ifdef TIMED
  diskAge = heardAge;
#endif
  diskHeard = heardOpen;
  diskBoot = bootOpen;
  diskExtended = extended
}

inline lock() {
  assert(!isThere && !isBooting);
#ifndef LOCK_IN_MEMORY
  write();
#endif
  locked = true;
  isLocked = true
}

proctype Machine() {
  byte left = BEATS;
end:
  do
  :: atomic {
      left > 0 ->
      left--;
      if
#ifndef HEARTBEAT_UNLOCKS
      :: locked -> printf("OP beat %e\n", told_locked)   /* it is told, and nothing changes */
      :: !locked && !open && !forgiven ->           /* too late: it is looked for at once */
        lock();
        printf("OP beat %e\n", told_locked)
      :: !locked && (open || forgiven) ->
#else
      :: true ->
        locked = false;
#endif
        printf("OP beat %e\n", well);
#ifdef TIMED
        heardAge = 0;
#endif
        heardOpen = true;
        bootOpen = false;
        isThere = true;
        isBooting = false;
        isGiven = false;
        isHeardSince = true;
        again = false;
        if
#ifndef END_OF_BOOT_IN_MEMORY
        :: extended || diskBoot -> extended = false; write()   /* before the answer */
#endif
        :: else -> extended = false
        fi
      fi
    }
  od
}

/* Whoever asks: the machine, or a thief who has its disk. */
proctype Client() {
  byte left = ASKS;
end:
  do
  :: atomic {
      left > 0 ->
      left--;
      if
      :: !locked && open ->
        printf("OP ask 1 %e\n", released);
        assert(!isLocked);
        assert(isThere || isBooting);
        if
        :: !isGiven -> isGiven = true; isBooting = true
        :: else
        fi;
        if
        :: !extended -> extended = true; bootOpen = true; write()   /* with the receipt */
#ifdef EACH_RELEASE_EXTENDS
        :: extended -> again = true
#endif
        :: else
        fi
      :: locked -> printf("OP ask 1 %e\n", machine_locked)
      :: !locked && !open -> printf("OP ask 1 %e\n", not_alive)
      fi
    }
  od
}

/* The look of every second. */
proctype Look() {
  byte left = LOOKS;
end:
  do
  :: atomic {
      !locked && !open && !forgiven ->
      lock();
      printf("OP look locks\n")
    }
#ifdef TIMED
  :: atomic {
      left > 0 && (locked || open || forgiven) ->
      left--;
      printf("OP look nothing\n")
    }
  :: atomic {
      !locked && heardOpen && (!diskHeard || diskAge != heardAge) ->
      write();
      printf("OP save\n")
    }
#else
  :: atomic { !locked && (diskHeard != heardOpen) -> write() }   /* now and then */
#endif
  od
}

proctype Operator() {
  byte left = UNLOCKS;
end:
  do
  :: atomic {
      left > 0 && locked ->
      left--;
      printf("OP unlock\n");
      locked = false;
      isLocked = false;
      heardOpen = false;
      bootOpen = true;
      extended = false;
      again = false;
      isBooting = true;
      isGiven = false;
      write()
    }
  od
}

#ifdef TIMED
inline pass(event, heardTicks) {
  printf("OP %e\n", event);
  heardAge = heardAge + heardTicks;
  diskAge = diskAge + heardTicks;
  startAge = startAge + heardTicks;
  if
  :: heardAge >= 2 -> heardAge = 2; isThere = false; heardOpen = false
  :: else
  fi;
  if
  :: diskAge >= 2 -> diskAge = 2; diskHeard = false
  :: else
  fi;
  if
  :: startAge >= 2 -> startAge = 2; forgiven = false
  :: else
  fi
}

mtype = { tick, boot_over };

proctype Clock() {
  byte ticks = TICKS;
  byte boots = BOOTS;
end:
  do
  :: atomic { ticks > 0 -> ticks--; pass(tick, 1) }
  :: atomic {
      boots > 0 ->
      boots--;
      pass(boot_over, 2);
      isBooting = false;
      bootOpen = again;
      diskBoot = again;
      again = false
    }
  od
}
#else
proctype Clock() {
end:
  do
  :: atomic { isThere || heardOpen -> isThere = false; heardOpen = false; diskHeard = false }
  :: atomic { diskHeard -> diskHeard = false }      /* what is written may be older */
  :: atomic {
      isBooting || bootOpen || diskBoot ->
      isBooting = false;
      bootOpen = again;
      diskBoot = again;
      again = false
    }
  :: atomic {                                       /* a timeout after the start */
      forgiven ->
      forgiven = false;
      if
      :: !isHeardSince -> isThere = false; heardOpen = false; diskHeard = false
      :: else
      fi
    }
  od
}
#endif

proctype Power() {
  byte left = CRASHES;
end:
  do
  :: atomic {
      left > 0 ->
      left--;
      printf("OP crash\n");
#ifdef TIMED
      heardAge = diskAge;
      startAge = 0;
#endif
      heardOpen = diskHeard;
      bootOpen = diskBoot;
      extended = diskExtended;
      isHeardSince = false;
      forgiven = true;
#ifdef NOBODY_IS_FORGIVEN
      forgiven = false;
#endif
#ifdef RESTART_IS_A_HEARTBEAT
      heardOpen = true;
#endif
#ifdef LOCK_IN_MEMORY
      locked = false;
#endif
    }
  od
}

init {
  atomic {
    run Machine();
    run Client();
    run Look();
    run Operator();
    run Clock();
    run Power()
  }
}
