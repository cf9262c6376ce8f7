#!/usr/bin/env bash
# What launch/cluster.yaml needs of AWS before its first machine: a security group, and a network file system in it.
#
#   launch/aws_network.sh [REGION]     # us-west-2 by default; needs the AWS command line and your credentials
#
# It may be called again: what is there is used. Nothing of it is deleted by `ray down`; see the last lines.
set -euo pipefail

export AWS_DEFAULT_REGION="${1:-us-west-2}" AWS_PAGER=""
name=weightflow

vpc=$(aws ec2 describe-vpcs --filters Name=is-default,Values=true --query 'Vpcs[0].VpcId' --output text)
if [ "$vpc" = None ]; then
    echo "$AWS_DEFAULT_REGION has no default network; make one with \`aws ec2 create-default-vpc\`" >&2
    exit 2
fi

# Everything between the machines of the group, the file system's NFS included; from outside ssh alone, from here alone.
group=$(aws ec2 describe-security-groups --filters Name=group-name,Values=$name Name=vpc-id,Values="$vpc" \
    --query 'SecurityGroups[0].GroupId' --output text)
if [ "$group" = None ]; then
    group=$(aws ec2 create-security-group --group-name $name --description "Ray nodes and their file system" \
        --vpc-id "$vpc" --query GroupId --output text)
    aws ec2 authorize-security-group-ingress --group-id "$group" --protocol all --source-group "$group" >/dev/null
fi
here="${WEIGHTFLOW_SSH_FROM:-$(curl -fsS https://checkip.amazonaws.com)/32}"
allowed=$(aws ec2 describe-security-groups --group-ids "$group" --output text \
    --query "SecurityGroups[0].IpPermissions[?FromPort==\`22\`].IpRanges[].CidrIp")
if ! grep -qwF -- "$here" <<<"$allowed"; then
    aws ec2 authorize-security-group-ingress --group-id "$group" --protocol tcp --port 22 --cidr "$here" >/dev/null
fi

# The token makes a second call return the same file system.
store=$(aws efs describe-file-systems --creation-token $name --query 'FileSystems[0].FileSystemId' --output text)
if [ "$store" = None ]; then
    store=$(aws efs create-file-system --creation-token $name --encrypted --tags Key=Name,Value=$name \
        --query FileSystemId --output text)
fi
for _ in $(seq 60); do
    state=$(aws efs describe-file-systems --file-system-id "$store" --output text \
        --query 'FileSystems[0].LifeCycleState')
    [ "$state" = available ] && break
    sleep 2
done

# A door to it in each zone: a machine in a zone without one could not mount it.
doors=$(aws efs describe-mount-targets --file-system-id "$store" --query 'MountTargets[].SubnetId' --output text)
zones=()
while read -r subnet zone; do
    zones+=("$zone")
    grep -qwF -- "$subnet" <<<"$doors" || aws efs create-mount-target --file-system-id "$store" \
        --subnet-id "$subnet" --security-groups "$group" >/dev/null
done < <(aws ec2 describe-subnets --filters Name=vpc-id,Values="$vpc" Name=default-for-az,Values=true \
    --query 'sort_by(Subnets, &AvailabilityZone)[].[SubnetId, AvailabilityZone]' --output text)

image=$(aws ssm get-parameter --query Parameter.Value --output text --name \
    /aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id) ||
    image="an image with Docker and NVIDIA's driver, of Ubuntu"

cat <<END
For launch/cluster.yaml:
  region             $AWS_DEFAULT_REGION
  availability_zone  $(IFS=,; echo "${zones[*]}")
  SecurityGroupIds   $group
  ImageId            $image
  file system        $store.efs.$AWS_DEFAULT_REGION.amazonaws.com

The file system keeps your results, and costs by the byte, until you delete it:
  aws efs delete-mount-target --mount-target-id ID    # for each that \`aws efs describe-mount-targets\` lists
  aws efs delete-file-system --file-system-id $store
END
