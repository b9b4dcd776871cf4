# Functions of the two inits and of `start`: sourced, not run. STATE is the folder of the cluster.

# launch WHERE NAME: starts what the file NAME.command says; its pid, in the namespace of WHERE, goes to NAME.pid.
launch() {
  setsid bash "$STATE/$1/$2.command" </dev/null >>"$STATE/$1/$2.log" 2>&1 &
  echo $! >"$STATE/$1/$2.pid"
}

# until_ok SECONDS COMMAND…
until_ok() {
  local seconds=$1 started=$SECONDS
  shift
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS - started > seconds)); then
      echo "not within $seconds s: $*" >&2
      return 1
    fi
    sleep 0.1
  done
}

# join_cgroup WHERE [LEAF]: moves this shell into the cgroups that `up` made for WHERE, or into LEAF below where there is one.
join_cgroup() {
  local folder
  while IFS= read -r folder; do
    if [ -n "${2:-}" ] && [ -d "$folder/$2" ]; then folder=$folder/$2; fi
    echo 0 >"$folder/cgroup.procs"
  done <"$STATE/$1/cgroups"
}

# The killed end of a connection must not hold its network namespace for minutes; and nodes and the control plane forward for pods.
set_up_network() {
  ip link set lo up
  sysctl -qw net.ipv4.ip_forward=1 net.ipv4.tcp_orphan_retries=1
}

# Reaps what it adopts until it is killed; the namespaces and all that is in them end with it.
stay() {
  while :; do
    sleep 1000 &
    wait $! || :
  done
}
