use super::*;

const UID: &str = "8ae0c9d4-96cf-4c11-9b2a-35c2b0f5a9d7";
const SLICE_UID: &str = "8ae0c9d4_96cf_4c11_9b2a_35c2b0f5a9d7";
const ID: &str = "3f1d0c4b7a5e4d6c9b8a7f6e5d4c3b2a1908f7e6d5c4b3a29180716253443526";

/// `%U` a pod's UID, `%S` the same as systemd has it, `%I` a container's id.
fn read(text: &str) -> Option<Container> {
    container_of(
        &text
            .replace("%U", UID)
            .replace("%S", SLICE_UID)
            .replace("%I", ID),
    )
}

#[test]
fn the_forms_of_all_drivers_runtimes_and_versions_are_read() {
    let want = Container {
        pod_uid: UID.into(),
        container_id: ID.into(),
    };
    for text in [
        // Version 2.
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%S.slice/cri-containerd-%I.scope\n",
        "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod%S.slice/crio-%I.scope",
        "0::/kubepods.slice/kubepods-pod%S.slice/docker-%I.scope\n",
        "0::/kubepods.slice/kubepods-pod%S.slice/crio-%I.scope/container\n",
        "0::/kubepods/burstable/pod%U/%I\n",
        "0::/kubepods/besteffort/pod%U/crio-%I\n",
        "0::/kubepods/pod%U/%I\n",
        // A container that has made cgroups of its own.
        "0::/kubepods/pod%U/%I/init.scope\n",
        // kind.
        "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod%S.slice/cri-containerd-%I.scope\n",
        "0::/kubelet/kubepods/besteffort/pod%U/%I\n",
        // Seen from the cgroup namespace of a pod.
        "0::/../../../kubepods-burstable.slice/kubepods-burstable-pod%S.slice/cri-containerd-%I.scope\n",
        "0::/../../kubepods-besteffort-pod%S.slice/cri-containerd-%I.scope\n",
        "0::/../../pod%U/%I\n",
        "0::/../../../burstable/pod%U/%I\n",
        // Drivers that do not agree.
        "0::/kubepods-burstable-pod%S.slice:cri-containerd:%I\n",
        // Version 1, some hierarchies not kubelet's; the last line is of a machine with both versions.
        "12:memory:/kubepods/burstable/pod%U/%I\n11:cpu,cpuacct:/kubepods/burstable/pod%U/%I\n2:rdma:/\n1:name=systemd:/kubepods/burstable/pod%U/%I\n0::/system.slice/containerd.service\n",
        "4:memory:/kubepods.slice/kubepods-pod%S.slice/cri-containerd-%I.scope\n3:pids:/kubepods.slice/kubepods-pod%S.slice/cri-containerd-%I.scope\n",
    ] {
        assert_eq!(read(text), Some(want.clone()), "{text}");
    }
    let hash = "0::/kubepods/burstable/pod1e5f9f7c2d3b4a5968778695a4b3c2d1/%I";
    assert_eq!(
        read(hash).unwrap().pod_uid,
        "1e5f9f7c2d3b4a5968778695a4b3c2d1"
    );
}

#[test]
fn what_is_not_clearly_a_container_is_none() {
    for text in [
        "",
        "0::/\n",
        "no colons\n",
        "0::/user.slice/user-1000.slice/session-3.scope\n",
        "0::/system.slice/kubelet.service\n",
        "0::/docker/%I\n",
        // No container, or what belongs to one without being one.
        "0::/kubepods/pod%U\n",
        "0::/kubepods.slice/kubepods-pod%S.slice/crio-conmon-%I.scope\n",
        "0::/kubepods/pod%U/short\n",
        // Of our own pod.
        "0::/../%I\n",
        // No UID.
        "0::/kubepods/pod../%I\n",
        "0::/kubepods/podx/%I\n",
        // Not below kubelet's cgroups.
        "0::/pod%U/%I\n",
        "0::/burstable/pod%U/%I\n",
        "0::/kubepods-pod%S.slice/cri-containerd-%I.scope\n",
        "0::/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-pod%S.slice/cri-containerd-%I.scope\n",
        "0::/system.slice/tenant.service/kubepods/pod%U/%I\n",
        // Below our own container.
        "0::/own/../kubepods/pod%U/%I\n",
        // Hierarchies that do not agree.
        "2:cpu:/kubepods/pod%U/%I\n1:memory:/kubepods/pod00000000-96cf-4c11-9b2a-35c2b0f5a9d7/%I\n",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
    // The container's cgroup is the first: what a tenant makes below it names nobody else.
    let nested = "0::/kubepods/pod%U/%I/kubepods/pod00000000-96cf-4c11-9b2a-35c2b0f5a9d7/%I";
    assert_eq!(read(nested).unwrap().pod_uid, UID);
}
