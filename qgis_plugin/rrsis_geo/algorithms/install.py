"""The algorithm "Install rrsis-geo"."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterString,
)

from ..program.installation import NoPython, choose_python, installation_steps
from ..program.location import find_pythons, program_in
from ..program.process import program_environment, run_program
from .base import PROGRAM_SETTING, ProgramAlgorithm, this_machine


class Install(ProgramAlgorithm):
    """Makes an environment with rrsis-geo."""

    HELP = """
    <p>Makes a virtual environment in the folder of your QGIS profile, installs rrsis-geo in it and
    names it in the setting of this provider. QGIS and its Python stay as they are.</p>
    <p>It needs Python 3.11, 3.12 or 3.13, and downloads PyTorch and other packages. The build of
    PyTorch for the CPU is much smaller; switch it off if this computer has an NVIDIA GPU.</p>
    <p>You do not need this algorithm if rrsis-geo is installed already: name the program, or the
    folder of its environment, in Settings &gt; Options &gt; Processing &gt; Providers &gt;
    rrsis-geo.</p>
    """

    def name(self) -> str:
        """Identifier."""
        return "install"

    def displayName(self) -> str:
        """Name in the toolbox."""
        return "Install rrsis-geo"

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare parameters and outputs."""
        package = "What pip installs: folder with the sources of rrsis-geo, a wheel or an address"
        python = "Python 3.11 to 3.13 (empty: search)"
        for parameter in (
            QgsProcessingParameterString("PACKAGE", package),
            QgsProcessingParameterBoolean("CPU_ONLY", "PyTorch for the CPU only", True),
            QgsProcessingParameterString("PYTHON", python, optional=True),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputString("PROGRAM", "Program"))

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Make the environment."""
        machine = this_machine()
        folder = machine.own_environment
        given = self.parameterAsString(parameters, "PYTHON", context).strip()
        environ = program_environment(Path(given or folder / "bin" / "python"), os.environ)
        try:
            python = choose_python([(given,)] if given else find_pythons(machine), environ)
        except NoPython as err:
            raise QgsProcessingException(str(err)) from err
        steps = installation_steps(
            python,
            folder,
            self.parameterAsString(parameters, "PACKAGE", context).strip(),
            machine,
            is_cpu_only=self.parameterAsBoolean(parameters, "CPU_ONLY", context),
        )
        folder.parent.mkdir(parents=True, exist_ok=True)
        for number, step in enumerate(steps):
            feedback.setProgress(100 * number / len(steps))
            feedback.setProgressText(step.title)
            feedback.pushCommandInfo(shlex.join(step.command))
            finished = run_program(
                step.command,
                environ,
                on_line=feedback.pushConsoleInfo,
                is_canceled=feedback.isCanceled,
            )
            feedback.pushConsoleInfo(finished.out)
            if finished.is_canceled:
                return {}
            if finished.exit_code != 0:
                raise QgsProcessingException(f"{step.title} failed; see the lines above")
        program = program_in(folder, machine)
        if program is None:
            raise QgsProcessingException(
                f"{folder}: has no program rrsis-geo; check what pip installs"
            )
        ProcessingConfig.setSettingValue(PROGRAM_SETTING, str(program))
        return {"PROGRAM": str(program)}
