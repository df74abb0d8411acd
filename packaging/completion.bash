# shellcheck shell=bash
# Completion for nightlatch. The lists are its command tables', filled in when the package is made.
_nightlatch() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]:-}
  local commands='' words='' options='' valued='' files=''
  # @FIRST@
  COMPREPLY=()
  if [ "$COMP_CWORD" -le 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$current")
    return
  fi
  case $command in
    # @GROUPS@
    *) ;;
  esac
  if [ -n "$words" ]; then
    if [ "$COMP_CWORD" -eq 2 ]; then
      mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
      return
    fi
    command="$command ${COMP_WORDS[2]}"
  fi
  case $command in
    # @COMMANDS@
    *) ;;
  esac
  if [[ " $valued " == *" $previous "* ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  elif [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  elif [ -n "$files" ]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "${current:-/dev/}")
  fi
}
complete -F _nightlatch nightlatch
