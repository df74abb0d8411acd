/*
 * A machine under `alive`: heartbeats, releases, the lock of who is silent, restarts. Time is in
 * events: each may come at any moment from which on it can. A timeout is shorter than the time of a
 * boot. What ought to be is in the variables that begin with `is`, which no crash touches and no
 * rule of the server reads. The faults are planted by -D; spin.test.ts beside this lists them.
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

#define open (heardOpen || bootOpen)

inline write() {
  diskHeard = heardOpen;
  diskBoot = bootOpen;
  diskExtended = extended
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
      :: locked || (!open && !forgiven)             /* it is told, and nothing changes */
      :: !locked && (open || forgiven) ->
#else
      :: true ->
        locked = false;
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
      :: else                                       /* refused */
      fi
    }
  od
}

/* The look of every second. */
proctype Look() {
end:
  do
  :: atomic {
      !locked && !open && !forgiven ->
      assert(!isThere && !isBooting);
#ifndef LOCK_IN_MEMORY
      write();
#endif
      locked = true;
      isLocked = true
    }
  :: atomic { !locked && (diskHeard != heardOpen) -> write() }   /* now and then */
  od
}

proctype Operator() {
  byte left = UNLOCKS;
end:
  do
  :: atomic {
      left > 0 && locked ->
      left--;
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

proctype Power() {
  byte left = CRASHES;
end:
  do
  :: atomic {
      left > 0 ->
      left--;
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
